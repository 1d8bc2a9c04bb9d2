"""What is known of accuracy on one data set: a record a training, appended one line at a time.

Observations of another data set or by another recipe are of another name: their accuracies are not
comparable, so nothing here ever puts them together.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas.architecture import Architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.lines import LineLog
from repvit_nas.quantities import Count, Deviation, Loss, Percent, Seed

OBSERVATIONS_FILE: Final = "observations.jsonl"
RANDOM: Final = "random"

Origin = Literal["published", "trained here", "imported"]


class Circumstances(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must be the same for accuracies to be comparable.

    Attributes:
        data: The data set, as its user calls it.
        data_digest: Of its images; empty where nobody here has seen them.
        recipe: The recipe, as its user calls it.
        recipe_digest: Of all its values; empty where nobody here has trained by it.
    """

    data: str
    data_digest: str = ""
    recipe: str
    recipe_digest: str = ""

    def differences(self, other: "Circumstances") -> list[str]:
        """Say in what `other` cannot be compared with this."""
        found = []
        for what in ("data", "recipe"):
            mine, theirs = getattr(self, what), getattr(other, what)
            digests = getattr(self, f"{what}_digest"), getattr(other, f"{what}_digest")
            if all(digests):
                if digests[0] != digests[1]:
                    found.append(f"{what} {mine!r} ({digests[0]}) -> {theirs!r} ({digests[1]})")
            elif mine != theirs:
                found.append(f"{what} {mine!r} -> {theirs!r}")
        return found


class AccuracyObservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The accuracy of one training of one network.

    Attributes:
        architecture: The network, at the resolution and with the classes it was trained with.
        circumstances: On what and how.
        short: Whether the recipe is a short stand-in for the one that networks are made for.
        epochs: Of the training; None where it is not known.
        seed: Of the training; None where it is not known.
        start: What the weights started from: `random`, or what they were inherited from.
        donor: The network that they were inherited from.
        top1: Percent right on the validation images.
        top1_sd: What the number of validation images leaves open of it, in points; None where
            nobody knows that number.
        loss: Cross-entropy on them.
        loss_sd: What the number of images leaves open of it.
        images: How many validation images.
        losses: File of the cross-entropy of each image, beside the log; empty where there is none.
        held_out: Whether no fit may see it: it is for validation.
        origin: Where it comes from.
        source: Where exactly: a run, a file, a publication.
    """

    architecture: Architecture
    circumstances: Circumstances
    short: bool = False
    epochs: Count | None = None
    seed: Seed | None = None
    start: str = RANDOM
    donor: Architecture | None = None
    top1: Percent
    top1_sd: Deviation | None = None
    loss: Loss | None = None
    loss_sd: Deviation | None = None
    images: Count | None = None
    losses: str = ""
    held_out: bool = False
    origin: Origin
    source: str

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        _require(0 <= self.top1 <= 100, "top1 must be 0 to 100 percent", self.top1)
        for name in ("loss", "top1_sd", "loss_sd"):
            value = getattr(self, name)
            if value is not None:
                _require(0 <= value < math.inf, f"{name} must be 0 or more", value)
        for name in ("images", "epochs"):
            value = getattr(self, name)
            if value is not None:
                _require(value >= 1, f"{name} must be 1 or more", value)

    @property
    def training(self) -> tuple[object, ...]:
        """What tells this training from others: two with the same are one."""
        return (nameless(self.architecture), self.seed, self.start, self.origin, self.source)


def _require(holds: bool, rule: str, arrived: object) -> None:
    if not holds:  # a nan lands here too
        raise ValueError(f"{rule}; got {arrived}")


def nameless(architecture: Architecture) -> Architecture:
    """Return the network without its name, as a key."""
    return msgspec.structs.replace(architecture, name="")


def binomial_sd(top1: float, images: int) -> float:
    """Return what a number of images leaves open of an accuracy, both in percent."""
    # One image more on each side, so that no accuracy is certain.
    share = (top1 / 100 * images + 1) / (images + 2)
    return 100 * math.sqrt(share * (1 - share) / images)


def believed(observation: AccuracyObservation) -> AccuracyObservation:
    """Return an observation that can be read again.

    Raises:
        RepvitNasError: It holds what no reader takes: its training diverged.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(observation), AccuracyObservation)
    except msgspec.ValidationError as error:
        raise RepvitNasError(
            f"its training diverged, since its figures are not finite or beyond all bounds: {error}"
        ) from error


class ObservationLog:
    """The observations of one name.

    Args:
        folder: Of the name.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / OBSERVATIONS_FILE
        self._lines = LineLog(self.path, AccuracyObservation, "observation")

    def read(self) -> list[AccuracyObservation]:
        """Return all observations, in the order in which they came.

        Raises:
            FileError: A line is no observation.
            RepvitNasError: They are not all of one data set and one recipe.
        """
        found = self._lines.read()
        if found:
            self._refuse_others(found[0].circumstances, found[1:])
        return found

    def append(self, observations: Sequence[AccuracyObservation]) -> int:
        """Add those that are not there yet; returns how many those are.

        Raises:
            RepvitNasError: They are of another data set or recipe; nothing is written.
            FileError: The log cannot be written; what was there stays.
        """
        known = self.read()
        everything = [*known, *observations]
        if everything:
            self._refuse_others(everything[0].circumstances, observations)
        seen = {observation.training for observation in known}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lines.mend()
        added = 0
        for observation in observations:
            if observation.training not in seen:
                seen.add(observation.training)
                self._lines.append(observation)
                added += 1
        return added

    def _refuse_others(self, first: Circumstances, others: Sequence[AccuracyObservation]) -> None:
        for other in others:
            apart = first.differences(other.circumstances)
            if apart:
                raise RepvitNasError(
                    f"{self.path.parent}: holds observations of other circumstances: "
                    f"{'; '.join(apart)}; they cannot be compared: give another --name"
                )


def circumstances_of(observations: Sequence[AccuracyObservation]) -> Circumstances:
    """Return what all observations have in common, with every digest that one of them knows."""
    found = observations[0].circumstances
    for observation in observations:
        other = observation.circumstances
        found = msgspec.structs.replace(
            found,
            data_digest=found.data_digest or other.data_digest,
            recipe_digest=found.recipe_digest or other.recipe_digest,
        )
    return found
