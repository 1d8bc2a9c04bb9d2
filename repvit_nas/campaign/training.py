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
from repvit_nas.campaign.records import DONOR, AnyFile, CampaignFile, RunsFile, TrainingTask
from repvit_nas.errors import RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.data import Opened
from repvit_nas.training.log import Picture
from repvit_nas.training.place import Place
from repvit_nas.training.records import (
    FAMILY_FOLDER,
    LOSSES_FILE,
    Asked,
    TrainFile,
    finished_training,
    is_training_run,
    read_training,
)
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.torchrun import (
    going_on,
    refuse_processes,
    refuse_streams,
    shared_out,
    train_by,
)
from repvit_nas.words import Progress

LOSSES_FOLDER: Final = "losses"


class Workplace(NamedTuple):
    """What trains the networks of a campaign on a machine.

    Attributes:
        file: What the campaign was asked.
        data: Its images, as this machine calls them.
        opened: Those images.
        trainings: Folder of the training runs.
        picture: Draws the log of a run; None draws none.
        processes: How many train a network together.
    """

    file: AnyFile
    data: DataSpec
    opened: Opened
    trainings: Path
    picture: Picture | None = None
    processes: int = 1

    def by(self, processes: int, device: str) -> "Workplace":
        """Return the same, where so many processes train a network together.

        Args:
            processes: How many.
            device: What they train on.

        Raises:
            RepvitNasError: They cannot, or would learn something else than one.
        """
        refuse_processes(processes, device)
        refuse_streams(self.opened, processes)
        several = self._replace(processes=processes)
        several.training_of(self.first)
        return several

    @property
    def first(self) -> TrainingTask:
        """The training that comes first, from which others may inherit."""
        return self.file.tasks[0] if isinstance(self.file, RunsFile) else first_tasks(self.file)[0]

    def donor_of(self, task: TrainingTask) -> TrainingTask | None:
        """Return the training from whose weights another one starts, if it is one of these."""
        file = self.file
        inherits = isinstance(file, CampaignFile) and task.inherits and file.asked.init == DONOR
        return self.first if inherits else None

    def space_of(self, task: TrainingTask) -> SpaceFile | None:
        """Return the space that a run's network was searched in, where the run is to keep it."""
        file = self.file
        return file.space if isinstance(file, RunsFile) and task.role == "run" else None

    def folder_of(self, task: TrainingTask) -> Path:
        """Return the folder of a training run."""
        if task.role == "beside":
            run = self.trainings / f"seed-{task.seed}"
            return run / FAMILY_FOLDER / task.architecture.name
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
        asked, donor = self.file.asked, self.donor_of(task)
        if donor is not None:
            init = str(self.folder_of(donor))
        elif not task.inherits:
            init = RANDOM
        else:
            init = task.architecture.name if task.role == "beside" else asked.init
        alone = Asked(
            architecture=task.architecture,
            recipe=asked.recipe,
            data=self.data,
            seed=task.seed,
            init=init,
            precision=asked.precision,
        )
        return shared_out(alone, self.processes)


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
    donor = workplace.donor_of(task)
    if donor is not None:
        _bring_donor(workplace, donor, place, progress)
    folder = workplace.folder_of(task)
    record = train_by(
        going_on(workplace.training_of(task), folder),
        folder,
        place,
        opened=workplace.opened,
        command=workplace.file.command,
        space=workplace.space_of(task),
        resume=is_training_run(folder),
        progress=progress,
        picture=workplace.picture,
    )
    return result_of(workplace, task, folder, record)


def _bring_donor(
    workplace: Workplace, donor: TrainingTask, place: Place, progress: Progress
) -> None:
    """Make sure that the first network is here: it is trained here as well where it is not.

    On machines of one kind it is the same then, to the bit.
    """
    home = workplace.folder_of(donor)
    lock = workplace.lock_of(donor, wait=True)
    try:
        if finished_training(home) is not None:
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
    file, init = workplace.file, record.asked.init
    donor = workplace.donor_of(task)
    observation = AccuracyObservation(
        architecture=task.architecture,
        circumstances=circumstances_of(file),
        short=isinstance(file, CampaignFile),
        epochs=record.asked.recipe.epochs,
        seed=task.seed,
        start=init if donor is None else DONOR,
        donor=_inherited_from(init) if donor is None else donor.architecture,
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


def circumstances_of(file: AnyFile) -> Circumstances:
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


def _inherited_from(init: str) -> Architecture | None:
    """Return the network whose weights are inherited, where it is known."""
    if is_training_run(Path(init)):
        donor = read_training(Path(init)).asked.architecture
        return donor if isinstance(donor, Architecture) else None
    found = family().get(init)
    return None if found is None else found.architecture
