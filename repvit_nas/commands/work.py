"""`repvit-nas work`: help a campaign that several machines share."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.artifacts import artifacts_options, kept_in, open_store
from repvit_nas.commands.console import note, progress_bar, tell
from repvit_nas.commands.options import (
    debug_option,
    hours_option,
    storage_options,
    threads_option,
)
from repvit_nas.commands.stopping import stoppable
from repvit_nas.commands.training_options import nproc_option
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.campaign.run import Worked


@click.command("work")
@storage_options
@click.option("--name", required=True, help="What the campaign is called.")
@click.option(
    "--data",
    required=True,
    metavar="digits|shapes|FOLDER|NAME",
    help="The campaign's images, as this machine calls them.",
)
@click.option("--data-root", default="", help="Where timm keeps a data set it knows by name.")
@hours_option
@click.option("--on", default="auto", metavar="auto|cpu|cuda|mps", help="Where to train.")
@threads_option
@nproc_option
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.")
@click.option("--out", type=click.Path(), help="Folder of the trainings. [in results/]")
@artifacts_options
@answers
@debug_option
def command(
    *,
    storage: str | None,
    name: str,
    data: str,
    data_root: str,
    hours: float | None,
    on: str,
    threads: int | None,
    workers: int | None,
    out: str | None,
    wait: float,
    **given: Any,
) -> Answer["Worked"]:
    r"""Train networks of a campaign that another command began with --storage, elsewhere or here.

    Takes one training after the other, waits for what comes next, and ends with the campaign. It may
    come and go at any moment: what it leaves is taken by another. It needs the images, and no more.

    \b
    Example: repvit-nas work --storage postgresql://nas@host/nas --name photos --data photos
    """
    from repvit_nas.campaign.board import CampaignLimits
    from repvit_nas.campaign.opening import open_workplace, trainings_of
    from repvit_nas.campaign.records import RunsFile
    from repvit_nas.campaign.run import work_on
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.together import StudyBoard
    from repvit_nas.report.training import curves_picture
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.storages import check_there
    from repvit_nas.training.place import Place, find_device
    from repvit_nas.training.torchrun import refuse_processes

    if storage is None:
        raise RepvitNasError("work needs --storage: where the campaign is")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    refuse_processes(given["nproc"], on)
    device = find_device(on)
    store = open_store(given | {"storage": storage})
    check_there(storage)
    with open_study(Sharing(storage, name, wait_s=wait, say=note)) as study:
        file = study.join()
        listed = isinstance(file, RunsFile)
        if listed and store is None:
            raise RepvitNasError(
                f"the campaign {name!r} is of train, which has its runs brought: work needs --artifacts, "
                "the same place as there"
            )
        workplace = open_workplace(
            file,
            name=data,
            root=data_root,
            trainings=Path(out or (Path("results") / name if listed else trainings_of(name))),
            device=device.type,
            say=note,
        )
        workplace = workplace.by(given["nproc"], on)
        if listed:
            workplace = workplace._replace(picture=curves_picture)
        kept = None if store is None else kept_in(store, study, workplace, given)
        with progress_bar() as bar, stoppable(bar) as progress:
            worked = work_on(
                StudyBoard(study, workplace, None, note, kept),
                workplace,
                CampaignLimits(hours=hours),
                Place(on, workers),
                say=note,
                progress=progress,
            )
    return Answer(worked, _show, partial(_document, name))


def _document(name: str, worked: "Worked") -> object:
    return {
        "name": name,
        "reason": worked.reason,
        "trainings": worked.trainings,
        "training_seconds": round(worked.trained_s, 1),
    }


def _show(worked: "Worked") -> None:
    tell(f"{number_of(worked.trainings, 'training')} here. Ended: {worked.reason}.")
