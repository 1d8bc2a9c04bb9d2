"""`repvit-nas status`: how far a campaign is that several machines share."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note, show
from repvit_nas.commands.options import debug_option, storage_options
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.campaign.status import CampaignStatus


@click.command("status")
@storage_options
@click.option("--name", required=True, help="What the campaign is called.")
@answers
@debug_option
def command(*, storage: str | None, name: str, wait: float) -> Answer["CampaignStatus"]:
    r"""Show who trains what in a campaign, how far it is, what failed, and the time left.

    \b
    Example: repvit-nas status --storage postgresql://nas@host/nas --name photos
    """
    from repvit_nas.campaign.status import status_of
    from repvit_nas.campaign.study import open_study
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.storages import check_there

    if storage is None:
        raise RepvitNasError("status needs --storage: where the campaign is")
    check_there(storage)
    with open_study(Sharing(storage, name, wait_s=wait, say=note)) as study:
        study.join()
        status = status_of(study)
    return Answer(status, _show)


def _show(status: "CampaignStatus") -> None:
    from repvit_nas.report.campaign import status_table, status_text

    show(status_table(status), status_text(status))
