"""What `train` does with several seeds, the family beside them, and other machines that help."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from repvit_nas.commands.answer import Answer
from repvit_nas.commands.arguments import repeated
from repvit_nas.commands.artifacts import kept_in, open_store
from repvit_nas.commands.console import note, progress_bar, tell
from repvit_nas.commands.stopping import stoppable
from repvit_nas.errors import RepvitNasError
from repvit_nas.quantities import Percent, Seed
from repvit_nas.words import Progress, number_of

if TYPE_CHECKING:
    from repvit_nas.campaign.records import TrainingTask
    from repvit_nas.campaign.runs import RunsWishes
    from repvit_nas.folders import Resume
    from repvit_nas.search_space.space_file import SpaceFile
    from repvit_nas.training.data import Opened
    from repvit_nas.training.place import Place
    from repvit_nas.training.records import Asked, TrainFile


class ToTrain(NamedTuple):
    """What `train` was asked.

    Attributes:
        asked: What the first run is asked.
        recipe: What its recipe is called.
        opened: Its images.
        place: On what it is computed.
        space: The space that its network was searched in.
    """

    asked: "Asked"
    recipe: str
    opened: "Opened"
    place: "Place"
    space: "SpaceFile | None"


class TrainedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run with one seed.

    Attributes:
        folder: Of the run.
        seed: Its seed.
        top1: Percent right on the validation images; None where a map was learned.
        family: The same of the reference networks beside it.
    """

    folder: str
    seed: Seed
    top1: Percent | None
    family: dict[str, Percent | None]


def is_several(given: Mapping[str, Any]) -> bool:
    """Tell whether the options of `train` ask for more than one training here."""
    more = ("train_family", "storage", "name", "artifacts", "keep_checkpoints")
    return given["seeds"] > 1 or any(given[each] for each in more)


def trained_several(
    to_train: ToTrain, given: Mapping[str, Any], *, resume: bool
) -> Iterator[Answer[Any]]:
    """Train a network with several seeds, and the family beside each; answer each run, then all.

    Args:
        to_train: What was asked.
        given: The options of the command.
        resume: Go on with what the folder holds; with a storage that goes without saying.

    Raises:
        RepvitNasError: The options mean nothing together, or something cannot be trained.
    """
    from repvit_nas.checking.family import family_names, train_beside
    from repvit_nas.report.training import curves_picture
    from repvit_nas.training.kept import kept
    from repvit_nas.training.records import finished_training
    from repvit_nas.training.run import check_folder, default_folder
    from repvit_nas.training.torchrun import going_on, refuse_processes, shared_out, train_by
    from repvit_nas.training.trained import trained_run

    asked, shares = to_train.asked, given["storage"] is not None
    if asked.processes > 1:
        raise RepvitNasError(
            "--seeds, --train-family and --storage train one network after the other: leave torchrun out"
        )
    nproc = given["nproc"]
    refuse_processes(nproc, to_train.place.device)
    names = family_names(given["train_family"])
    seeds = range(asked.seed, asked.seed + given["seeds"])
    usual = f"{default_folder(asked, to_train.recipe)}-seeds"
    folder = Path(given["out"] or Path("results") / usual)
    resuming: Resume = "auto" if resume or shares else False
    share_of_each = shared_out(asked, nproc)
    runs = {
        folder / f"seed-{seed}": msgspec.structs.replace(share_of_each, seed=seed) for seed in seeds
    }
    for run, one in runs.items():  # before anything is trained
        if run.is_dir():
            check_folder(run, going_on(one, run), resume=resuming)
    if asked.matching is None:  # pictures of maps come with their places
        to_train = to_train._replace(opened=kept(to_train.opened))
    _share_seeds(to_train, given, folder, seeds, names)
    found = []
    for run, one in runs.items():
        with progress_bar() as bar, stoppable(bar) as progress:
            # What was shared is here by now, and is no run that was finished before.
            record = finished_training(run) if shares else None
            record = record or train_by(
                going_on(one, run),
                run,
                to_train.place,
                opened=to_train.opened,
                command=repeated(),
                space=to_train.space,
                resume=resuming,
                say=note,
                progress=progress,
                picture=curves_picture,
            )
            train_beside(trained_run(run), names, processes=nproc, say=note, progress=progress)
        found.append(_row(run, record, names))
        yield Answer(found[-1], _show_run)
    yield Answer(tuple(found), _show_all)


def _share_seeds(
    to_train: ToTrain,
    given: Mapping[str, Any],
    folder: Path,
    seeds: Sequence[int],
    names: Sequence[str],
) -> None:
    """Have all trainings made by whoever helps, if a storage is given."""
    from repvit_nas.campaign.runs import RunsWishes, seeded_tasks

    recipe = Path(to_train.recipe).name.removesuffix(".toml")
    wishes = RunsWishes(given["name"] or "", recipe, folder, repeated(), to_train.space)
    tasks = seeded_tasks(to_train.asked, seeds, names) if given["storage"] else []
    with progress_bar() as bar, stoppable(bar) as progress:
        share(to_train, tasks, wishes, given, progress)


def share(
    to_train: ToTrain,
    tasks: "Sequence[TrainingTask]",
    wishes: "RunsWishes",
    given: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Share trainings with other machines, if a storage is given, until all are made and here.

    Args:
        to_train: What the first of them is asked.
        tasks: The trainings.
        wishes: What the campaign is called, and where the runs go.
        given: Where the study and the files are kept.
        progress: Told what is being done.

    Raises:
        RepvitNasError: The options mean nothing together, the study is another one, or trainings fail.
    """
    from repvit_nas.accuracy.trained import check_name
    from repvit_nas.campaign.runs import begin_runs, make_runs, runs_file
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.training import Workplace
    from repvit_nas.report.training import curves_picture
    from repvit_nas.searching.shared import Sharing

    if given["storage"] is None:
        open_store(given)  # refuses what means nothing alone
        if wishes.name:
            raise RepvitNasError("--name is what a campaign in a --storage is called; leave it out")
        return
    if not wishes.name:
        raise RepvitNasError("--storage needs --name: what the campaign is called there")
    check_name(wishes.name)  # as that of a folder, which `work` makes of it
    store = open_store(given)
    if store is None:
        raise RepvitNasError(
            "--storage needs --artifacts: from where the runs are brought that others made"
        )
    asked, opened = to_train.asked, to_train.opened
    file = runs_file(asked, tasks, opened, wishes)
    workplace = Workplace(file, asked.data, opened, wishes.trainings, curves_picture)
    workplace = workplace.by(given["nproc"], to_train.place.device)
    with open_study(
        Sharing(given["storage"], wishes.name, wait_s=given["wait"], say=note)
    ) as study:
        begin_runs(study, file)
        kept = kept_in(store, study, workplace, given)
        make_runs(study, workplace, kept, to_train.place, say=note, progress=progress)


def _row(run: Path, record: "TrainFile", names: Sequence[str]) -> TrainedRow:
    from repvit_nas.training.records import FAMILY_FOLDER, read_training

    beside = {name: read_training(run / FAMILY_FOLDER / name) for name in names}
    return TrainedRow(
        folder=str(run),
        seed=record.asked.seed,
        top1=_top1(record),
        family={name: _top1(each) for name, each in beside.items()},
    )


def _top1(record: "TrainFile") -> float | None:
    return None if record.outcome is None else record.outcome.top1


def _show_run(row: TrainedRow) -> None:
    rows = {f"seed {row.seed}": row.top1} | row.family
    said = [name if top1 is None else f"{name} {top1:.2f} %" for name, top1 in rows.items()]
    tell(f"{', '.join(said)}, in {row.folder}")


def _show_all(rows: Sequence[TrainedRow]) -> None:
    trained = number_of(sum(1 + len(row.family) for row in rows), "training")
    family = ",".join(rows[0].family)
    words = ["repvit-nas check", *(row.folder for row in rows)]
    words += ["--train-family", family] if family else []
    tell(f"{trained} in all. Next: {' '.join(words)}")
