"""A list of trainings as a campaign: what it is asked, and how it ends where it was asked for.

Whoever asks for them has all runs in one folder in the end, laid out as if they had been made there; so
whatever reads runs needs no study. What cannot be brought is trained there by whoever reads it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from repvit_nas import files
from repvit_nas.architecture import Architecture
from repvit_nas.campaign.artifacts import Artifacts
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.images import data_digest
from repvit_nas.campaign.records import RunsAsked, RunsFile, TrainingTask, beside_name
from repvit_nas.campaign.run import Worked, work_on
from repvit_nas.campaign.study import CampaignStudy
from repvit_nas.campaign.together import StudyBoard
from repvit_nas.campaign.training import Workplace
from repvit_nas.checking.family import as_trained
from repvit_nas.errors import RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.data import Opened
from repvit_nas.training.place import Place
from repvit_nas.training.records import RANDOM, Asked, is_training_run, read_training
from repvit_nas.words import Progress, Say


class RunsWishes(NamedTuple):
    """Which trainings are wanted.

    Attributes:
        name: Of the campaign.
        recipe_name: What the recipe is called.
        trainings: Folder of the runs.
        command: The command line that goes on with it.
        space: The space that the network was searched in.
    """

    name: str
    recipe_name: str
    trainings: Path
    command: str = ""
    space: SpaceFile | None = None


def seeded_tasks(asked: Asked, seeds: Sequence[int], names: Sequence[str]) -> list[TrainingTask]:
    """Return the trainings of a network and of reference networks beside it, seed by seed.

    So what ends early compares what it has.

    Args:
        asked: What the first of them is asked.
        seeds: Of the trainings.
        names: The reference networks.

    Raises:
        RepvitNasError: The network is none of stages, or learns a map.
    """
    network = asked.architecture
    if not isinstance(network, Architecture) or asked.matching is not None:
        raise RepvitNasError(
            "--storage shares trainings of networks that have stages and learn classes; leave it out"
        )
    inherits = asked.init != RANDOM
    tasks = []
    for seed in seeds:
        tasks.append(TrainingTask(f"seed-{seed}", network, seed, "run", inherits))
        for name in names:
            member = as_trained(family()[name].architecture, network)
            tasks.append(TrainingTask(beside_name(seed, name), member, seed, "beside", inherits))
    return tasks


def runs_file(
    asked: Asked, tasks: Sequence[TrainingTask], opened: Opened, wishes: RunsWishes
) -> RunsFile:
    """Return what a campaign of trainings is asked.

    Args:
        asked: What its trainings have in common, but for network and seed.
        tasks: The trainings.
        opened: Their images.
        wishes: What it is called, and where the runs go.
    """
    return RunsFile(
        name=wishes.name,
        command=wishes.command,
        asked=RunsAsked(
            data=asked.data,
            recipe=asked.recipe,
            recipe_name=wishes.recipe_name,
            init=asked.init,
            precision=asked.precision,
        ),
        tasks=tuple(tasks),
        data_digest=data_digest(asked.data, opened),
        recipe_digest=files.digest(msgspec.json.encode(asked.recipe)),
        classes=tuple(opened.classes),
        resolution=asked.architecture.resolution,
        val_images=len(opened.val),
        trainings=str(wishes.trainings),
        space=wishes.space,
    )


def begin_runs(study: CampaignStudy, file: RunsFile) -> None:
    """Make the study of a campaign of trainings, or join it.

    Raises:
        RepvitNasError: The study is another one.
    """
    if study.agree(file):  # whoever finds one missing later enqueues it
        for task in file.tasks:
            study.enqueue(task)


def make_runs(
    study: CampaignStudy,
    workplace: Workplace,
    artifacts: Artifacts,
    place: Place | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> Worked:
    """Work at a campaign of trainings until all are made, and bring those that others made.

    Args:
        study: Its study, agreed on.
        workplace: What trains networks here.
        artifacts: Where the runs are kept for each other.
        place: On what networks are trained.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: Several networks one after the other cannot be trained.
        FileError: Something cannot be written; what is trained stays.
    """
    board = StudyBoard(study, workplace, None, say, artifacts)
    worked = work_on(board, workplace, CampaignLimits(), place, say=say, progress=progress)
    tries = study.look()
    for name, reason in tries.state.failed.items():
        say(f"{name}: could not be trained: {reason}")
    for number, task in enumerate(tries.trainings):
        progress(f"bringing {task.name}", number, len(tries.trainings))
        lock = workplace.lock_of(task, wait=True)
        try:
            if not _here(workplace, task):
                artifacts.bring_finished(tries.all, task)
        finally:
            if lock is not None:
                lock.release()
    return worked


def _here(workplace: Workplace, task: TrainingTask) -> bool:
    """Tell whether a training's folder holds a finished run, or one that was asked something else."""
    folder = workplace.folder_of(task)
    if not is_training_run(folder):
        return False
    record = read_training(folder)
    return record.ended is not None or record.asked.by_one != workplace.training_of(task).by_one
