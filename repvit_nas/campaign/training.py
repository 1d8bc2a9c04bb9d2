"""One training of a campaign: from what is asked of it to what it says."""

from pathlib import Path
from typing import Final, NamedTuple

import filelock
import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.observations import (
    RANDOM,
    AccuracyObservation,
    Circumstances,
    believed,
    binomial_sd,
)
from repvit_nas.accuracy.responses import losses_in
from repvit_nas.architecture import Architecture
from repvit_nas.campaign.planning import first_tasks
from repvit_nas.campaign.records import DONOR, CampaignFile, TrainingTask
from repvit_nas.errors import RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.training.data import Opened
from repvit_nas.training.place import Place
from repvit_nas.training.records import (
    LOSSES_FILE,
    Asked,
    TrainFile,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec
from repvit_nas.words import Progress

LOSSES_FOLDER: Final = "losses"


class Workplace(NamedTuple):
    """What trains the networks of a campaign on a machine.

    Attributes:
        file: What the campaign was asked.
        data: Its images, as this machine calls them.
        opened: Those images.
        trainings: Folder of the training runs.
    """

    file: CampaignFile
    data: DataSpec
    opened: Opened
    trainings: Path

    @property
    def donor(self) -> TrainingTask:
        """The training that comes first, from which others may inherit."""
        return first_tasks(self.file)[0]

    def waits_for_donor(self, task: TrainingTask) -> bool:
        """Tell whether a training starts from the weights of the first one."""
        return task.inherits and self.file.asked.init == DONOR

    def folder_of(self, task: TrainingTask) -> Path:
        """Return the folder of a training run."""
        return self.trainings / task.name

    def lock_of(self, task: TrainingTask, *, wait: bool = False) -> filelock.BaseFileLock | None:
        """Keep the other processes on this folder from a training.

        Args:
            task: The training.
            wait: Until they have left it.

        Returns:
            The lock, to be released; None where another process has it.
        """
        self.trainings.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.trainings / f".{task.name}.lock", timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except filelock.Timeout:
            return None
        return lock

    def training_of(self, task: TrainingTask) -> Asked:
        """Return what the training of a task is asked."""
        asked = self.file.asked
        init = asked.init if task.inherits else RANDOM
        if init == DONOR:
            init = str(self.folder_of(self.donor))
        return Asked(
            architecture=task.architecture,
            recipe=asked.recipe,
            data=self.data,
            seed=task.seed,
            init=init,
            precision=asked.precision,
        )


class Result(NamedTuple):
    """What a finished training says.

    Attributes:
        observation: Of its network's accuracy.
        losses: File of the cross-entropy of each validation image.
        seconds: What it took.
        by: Who made it; empty for this machine alone.
    """

    observation: AccuracyObservation
    losses: bytes
    seconds: float
    by: str = ""


def train_task(
    workplace: Workplace,
    task: TrainingTask,
    place: Place,
    progress: Progress = lambda _, __, ___: None,
) -> Result:
    """Train one network, or go on with it, and return what it says.

    Raises:
        RepvitNasError: It cannot be trained, or diverged.
        FileError: The disk cannot be read or written.
    """
    if workplace.waits_for_donor(task):
        _bring_donor(workplace, place, progress)
    folder = workplace.folder_of(task)
    record = train(
        workplace.training_of(task),
        folder,
        place,
        opened=workplace.opened,
        command=workplace.file.command,
        resume=is_training_run(folder),
        progress=progress,
    )
    return result_of(workplace, task, folder, record)


def _bring_donor(workplace: Workplace, place: Place, progress: Progress) -> None:
    """Make sure that the first network is here: it is trained here as well where it is not.

    On machines of one kind it is the same then, to the bit.
    """
    donor = workplace.donor
    home = workplace.folder_of(donor)
    lock = workplace.lock_of(donor, wait=True)
    try:
        if is_training_run(home) and read_training(home).outcome is not None:
            return
        train_task(
            workplace,
            donor,
            place,
            lambda doing, done, of: progress(f"the first network here, {doing}", done, of),
        )
    finally:
        if lock is not None:
            lock.release()


def result_of(workplace: Workplace, task: TrainingTask, folder: Path, record: TrainFile) -> Result:
    """Return what a finished training says.

    Raises:
        RepvitNasError: It was not finished, or says nothing that can be believed.
        FileError: Its files cannot be read.
    """
    outcome = record.outcome
    if outcome is None:
        raise RepvitNasError(f"{folder}: the training was not finished")
    losses = files.read_bytes(folder / LOSSES_FILE)
    each = losses_in(losses, folder / LOSSES_FILE)
    inherited = record.asked.init != RANDOM
    file = workplace.file
    observation = AccuracyObservation(
        architecture=task.architecture,
        circumstances=circumstances_of(file),
        short=True,
        epochs=record.asked.recipe.epochs,
        seed=task.seed,
        start=file.asked.init if inherited else RANDOM,
        donor=_donor(file) if inherited else None,
        top1=outcome.top1,
        top1_sd=binomial_sd(outcome.top1, outcome.val_images),
        loss=outcome.loss,
        loss_sd=float(each.std() / np.sqrt(len(each))),
        images=outcome.val_images,
        losses=losses_name(task),
        held_out=task.role == "held out",
        origin="trained here",
        source=task.name,
    )
    return Result(believed(observation), losses, outcome.seconds)


def circumstances_of(file: CampaignFile) -> Circumstances:
    """Return what all trainings of a campaign share."""
    return Circumstances(
        data=file.asked.data.name,
        data_digest=file.data_digest,
        recipe=file.asked.recipe_name,
        recipe_digest=file.recipe_digest,
    )


def losses_name(task: TrainingTask) -> str:
    """Return where the losses of a training lie beside the observations."""
    return f"{LOSSES_FOLDER}/{task.name}.npy"


def _donor(file: CampaignFile) -> Architecture | None:
    """Return the network whose weights are inherited, where it is known."""
    init = file.asked.init
    if init == DONOR:
        return file.donor
    if is_training_run(Path(init)):
        donor = read_training(Path(init)).asked.architecture
        return donor if isinstance(donor, Architecture) else None
    found = family().get(init)
    return None if found is None else found.architecture
