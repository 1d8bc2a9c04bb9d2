"""What a training run is asked, and what it leaves: the records of a run's folder."""

from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.quantities import (
    Correlation,
    Count,
    Deviation,
    Duration,
    Loss,
    Percent,
    Seed,
    Several,
)
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.found import FoundImages
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.spec import DataSpec
from repvit_nas.units import Network

TRAINING_FILE: Final = "training.json"
WEIGHTS_FILE: Final = "model.safetensors"
LOG_FILE: Final = "log.csv"
CURVES_FILE: Final = "curves.png"
LOSSES_FILE: Final = "val_losses.npy"
ARCHITECTURE_FILE: Final = "architecture.json"
# Where reference networks lie that were trained beside a run.
FAMILY_FOLDER: Final = "family"
RANDOM: Final = "random"

Precision = Literal["fp32", "bf16", "fp16"]


class Matching(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a network learns a teacher's map.

    Attributes:
        teacher: The teacher, see :func:`repvit_nas.training.teacher.load_map_teacher`.
        digest: Of its file; empty where it has none.
        cosine: How much one less the cosine similarity counts beside the mean squared error.
        kept: Whether its maps are kept, rounded to half precision.
    """

    teacher: str
    digest: str = ""
    cosine: Deviation = 0.0
    kept: bool = True


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides what a run learns.

    Attributes:
        architecture: The network, at the resolution and with the classes it is trained with.
        recipe: How it learns.
        data: From which images.
        seed: The same seed on the same machine gives the same weights.
        init: What the weights start from: `random`, a reference name, a run, or a weights file.
        precision: In which numbers the network is computed.
        processes: How many processes train together.
        matching: The teacher whose map is learned; None where classes are.
    """

    architecture: Network
    recipe: Recipe
    data: DataSpec
    seed: Seed = 0
    init: str = RANDOM
    precision: Precision = "fp32"
    processes: Several = 1
    matching: Matching | None = None

    @property
    def by_one(self) -> "Asked":
        """What one process is asked that learns the same: it takes the steps of all."""
        accumulate = self.recipe.accumulate * self.processes
        recipe = msgspec.structs.replace(self.recipe, accumulate=accumulate)
        return msgspec.structs.replace(self, recipe=recipe, processes=1)


class MatchRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One epoch of the log of a run that matches a map.

    Attributes:
        epoch: Counted from 1.
        updates: Updates of the weights so far.
        lr: Learning rate of the last of them.
        train_loss: Mean loss of the epoch's batches.
        loss: The loss on the validation pictures.
        mse: Mean squared error of an element of the map on them, of what is not padded.
        cosine: Mean cosine similarity of the channels of a pixel on them.
        ema_loss: The loss of the average of the weights, where there is one.
        images_per_s: Images that this process trained on in a second; none where the epoch was
            interrupted.
    """

    epoch: Count
    updates: Count
    lr: Deviation
    train_loss: Loss
    loss: Loss
    mse: Loss
    cosine: Correlation
    ema_loss: Loss | None = None
    images_per_s: Duration | None = None


class MatchOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How near a finished run came to its teacher's map.

    Attributes:
        epoch: Of which epoch the network is.
        updates: Updates of the weights in all.
        loss: The loss on the validation pictures.
        mse: Mean squared error of an element of the map on them, of what is not padded.
        cosine: Mean cosine similarity of the channels of a pixel on them.
        val_images: How many there are.
        seconds: Of training and validation, but for what an interrupted epoch lost.
        weights_digest: Of the file of the weights.
        config_digest: Of the file that says how they are used.
    """

    epoch: Count
    updates: Count
    loss: Loss
    mse: Loss
    cosine: Correlation
    val_images: Count
    seconds: Duration
    weights_digest: str = ""
    config_digest: str = ""


class EpochRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One epoch of a run's log, of those that ended with a look at the validation images.

    Attributes:
        epoch: Counted from 1.
        updates: Updates of the weights so far.
        lr: Learning rate of the last of them.
        train_loss: Mean loss of the epoch's batches, as augmented, smoothed and distilled.
        loss: Cross-entropy on the validation images.
        top1: Percent right on them.
        top5: Percent within the first five.
        ema_top1: Percent right of the average of the weights, where there is one.
        images_per_s: Images that this process trained on in a second; none where the epoch was
            interrupted.
    """

    epoch: Count
    updates: Count
    lr: Deviation
    train_loss: Loss
    loss: Loss
    top1: Percent
    top5: Percent
    ema_top1: Percent | None = None
    images_per_s: Duration | None = None


class TrainOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a finished run reached.

    Attributes:
        epoch: Of which epoch the network is.
        updates: Updates of the weights in all.
        top1: Percent right on the validation images.
        top5: Percent within the first five.
        loss: Cross-entropy on them.
        val_images: How many there are.
        seconds: Of training and validation, but for what an interrupted epoch lost.
        weights_digest: Of the file of the weights; empty where an older version wrote it.
        config_digest: Of the file that says how they are used.
    """

    epoch: Count
    updates: Count
    top1: Percent
    top5: Percent
    loss: Loss
    val_images: Count
    seconds: Duration
    weights_digest: str = ""
    config_digest: str = ""


class TrainFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `training.json` (schema 1).

    Attributes:
        command: The command line that repeats the run.
        asked: What it was asked.
        classes: Names of the classes, by number.
        images: What was found to train and to validate on; empty where an older version wrote it.
        versions: Of what it was trained with.
        machine: Where.
        outcome: What it reached; None while it is not finished, or where a map is matched.
        matched: How near it came to the map; None while it is not finished, or where classes are learned.
        space: The space that the network was searched in; None where no run kept one.
    """

    schema: Literal[1] = 1
    command: str
    asked: Asked
    classes: tuple[str, ...]
    images: tuple[FoundImages, ...] = ()
    versions: dict[str, str]
    machine: dict[str, str]
    outcome: TrainOutcome | None = None
    matched: MatchOutcome | None = None
    space: SpaceFile | None = None

    @property
    def ended(self) -> TrainOutcome | MatchOutcome | None:
        """What a finished run reached, whatever it learned."""
        return self.outcome or self.matched


def is_training_run(path: Path) -> bool:
    """Tell whether `path` is the folder of a training run."""
    return (path / TRAINING_FILE).is_file()


def read_training(folder: str | Path) -> TrainFile:
    """Read the record of a training run.

    Raises:
        RepvitNasError: The folder holds none.
    """
    folder = Path(folder)
    if not is_training_run(folder):
        raise RepvitNasError(f"{folder}: holds no training run; repvit-nas train makes one")
    return files.read_json(files.inside(folder, folder / TRAINING_FILE), TrainFile)


def finished_training(folder: Path) -> TrainFile | None:
    """Return the record of a finished training run; None where the folder holds none, or one under way.

    Raises:
        FileError: It is not valid.
    """
    record = read_training(folder) if is_training_run(folder) else None
    return None if record is None or record.ended is None else record


def file_digest(path: Path) -> str:
    """Return the digest of a file; empty if it is missing.

    Raises:
        FileError: It cannot be read.
    """
    try:
        return files.digest(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error


class WrittenFile(NamedTuple):
    """A file of a run, as it was written and as it is.

    Attributes:
        path: Where it is.
        written: Its digest when it was written; empty where an older version wrote none.
        found: Its digest now; empty if it is missing.
    """

    path: Path
    written: str
    found: str

    @classmethod
    def of(cls, path: Path, written: str) -> "WrittenFile":
        """Look at a file.

        Raises:
            FileError: It cannot be read.
        """
        return cls(path, written, file_digest(path))

    def check(self) -> None:
        """Refuse a file that is not the one that was written.

        Raises:
            FileError: It is another one, or missing.
        """
        if self.written and self.found != self.written:
            raise FileError(
                f"{self.path}: is not what was written: its digest is {self.found or 'of no file'}, the "
                f"run says {self.written}; put the file back, or train again"
            )


def differences(before: msgspec.Struct, now: msgspec.Struct) -> list[str]:
    """Say in which values what was asked differs, such as `recipe.lr 0.001 -> 0.002`."""

    def flat(value: object, name: str) -> dict[str, object]:
        if isinstance(value, dict):
            found: dict[str, object] = {}
            for key, inner in value.items():
                found |= flat(inner, f"{name}.{key}" if name else key)
            return found
        if isinstance(value, list | tuple):
            listed: dict[str, object] = {}
            for place, inner in enumerate(value):
                listed |= flat(inner, f"{name}[{place}]")
            return listed
        return {name: value}

    old, new = (flat(msgspec.to_builtins(asked), "") for asked in (before, now))
    return [
        f"{name} {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
