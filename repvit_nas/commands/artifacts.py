"""`--artifacts` and `--keep-checkpoints`, for the commands that train a campaign's networks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.console import note
from repvit_nas.commands.options import Decorator, grouped
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

    from repvit_nas.campaign.artifacts import Artifacts
    from repvit_nas.campaign.study import CampaignStudy
    from repvit_nas.campaign.training import Workplace


artifacts_options: Decorator = grouped(
    click.option(
        "--artifacts",
        metavar="URL",
        help="Keep logs and final weights in a folder, s3://BUCKET or gs://BUCKET.",
    ),
    click.option(
        "--keep-checkpoints",
        is_flag=True,
        help="Keep a checkpoint of each epoch in --artifacts, from which another machine goes on.",
    ),
)


def open_store(given: Mapping[str, Any]) -> "ArtifactStore | None":
    """Open the store that the options name, if they do, before anything else takes time.

    Raises:
        RepvitNasError: It cannot be written, or the options mean nothing together.
    """
    from repvit_nas.artifacts import open_artifacts

    if given["artifacts"] is None:
        if given["keep_checkpoints"]:
            raise RepvitNasError("--keep-checkpoints needs --artifacts: where they are kept")
        return None
    if given["storage"] is None:
        raise RepvitNasError("--artifacts needs --storage: which says what is in the store")
    return open_artifacts(given["artifacts"])


def kept_in(
    store: "ArtifactStore",
    study: "CampaignStudy",
    workplace: "Workplace",
    given: Mapping[str, Any],
) -> "Artifacts":
    """Return what keeps files in a store, and say how large they are."""
    from repvit_nas.campaign.artifacts import Artifacts, sizes_text

    checkpoints = given["keep_checkpoints"]
    note(sizes_text(workplace, checkpoints=checkpoints))
    return Artifacts(store, study, workplace, checkpoints=checkpoints, say=note)
