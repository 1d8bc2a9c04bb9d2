"""Estimators that were trained here: `predictors/accuracy/<name>/`, written, read and looked up.

A name stands for one data set and one recipe. Its folder holds the observations, the campaign that
made them if there was one, and what they say, as plain numbers (`posterior.json`).
"""

import contextlib
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from repvit_nas import data, files
from repvit_nas.accuracy.estimator import AccuracyEstimate, JointEstimator, Observed
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.observations import (
    OBSERVATIONS_FILE,
    AccuracyObservation,
    Circumstances,
    ObservationLog,
    circumstances_of,
    nameless,
)
from repvit_nas.accuracy.posterior import FamilyAt, Learned, learn, usual_compute
from repvit_nas.accuracy.priors import SHAPE_FEATURES
from repvit_nas.accuracy.regression import Normal, covariance, line, predict
from repvit_nas.accuracy.responses import responses
from repvit_nas.architecture import Architecture
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.folders import held
from repvit_nas.quantities import Count, Deviation, Number, Side
from repvit_nas.shapes import Floats, Shapes, shapes_of

FOLDER: Final = "predictors/accuracy"
POSTERIOR_FILE: Final = "posterior.json"
FAMILY: Final = "family"
# Fewer different networks than this tell nothing of shapes.
FEWEST: Final = 2
# Trainings, which take hours, go on meanwhile; what is written takes as long as a fit.
_WAIT_S: Final = 600.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class PosteriorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `posterior.json` (schema 1): an estimator.

    Attributes:
        name: The estimator's name.
        circumstances: Of which data set and recipe it speaks.
        short: Whether the recipe is a short stand-in; what it credits too much is taken out then.
        resolution: Input side in pixels that the networks were trained with.
        num_classes: Of the data set.
        observations: How many trainings the fit has seen.
        networks: Of how many different networks.
        digest: Of the observations and of the family that it was fitted with.
        exponent: Of the compute term.
        usual: Compute of the usual network, in octaves above a thousand million MACs.
        misfit: How far a network is off what its features say, in points.
        noise: How far a training is off the mean of its network, in points.
        features: Names of the effects.
        mean: Their means.
        covariance: Their covariance, a row each.
    """

    schema: Literal[1] = 1
    name: str
    circumstances: Circumstances
    short: bool
    resolution: Side
    num_classes: Count
    observations: Count
    networks: Count
    digest: str
    exponent: Number
    usual: Number
    misfit: Deviation
    noise: Deviation
    features: tuple[str, ...]
    mean: tuple[Number, ...]
    covariance: tuple[tuple[Number, ...], ...]

    @property
    def learned(self) -> Learned:
        """What the fit says."""
        effects = Normal(np.array(self.mean), np.array(self.covariance))
        return Learned(self.exponent, self.usual, effects, self.misfit, self.noise)


def check_name(name: str) -> None:
    """Refuse a name that is none for an estimator.

    Raises:
        RepvitNasError: It is the family's, or no name of a folder.
    """
    if name == FAMILY or not _NAME.fullmatch(name):
        raise RepvitNasError(
            f"--name must be letters, digits, dots, dashes and underscores, and not {FAMILY!r}; "
            f"got {name!r}"
        )


def folder_of(name: str) -> Path:
    """Return the folder of an estimator in the working directory, whether or not it is there."""
    check_name(name)
    return Path(FOLDER) / name


def locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Wait until nobody else writes into the folder of an estimator, and keep all others out."""
    return held(folder, otherwise="give another --name", wait_s=_WAIT_S)


def find(name: str) -> data.Found:
    """Find the folder of an estimator.

    Raises:
        UnknownNameError: There is none; the message lists what there is.
    """
    try:
        return data.find(FOLDER, name, "accuracy estimator")
    except UnknownNameError:
        raise UnknownNameError.of("accuracy estimator", name, [FAMILY, *known()]) from None


def known() -> list[str]:
    """List the names of the estimators that were trained here or came with the package."""
    return sorted(data.listed(FOLDER))


def fit(name: str, observations: Sequence[AccuracyObservation], folder: Path) -> PosteriorFile:
    """Fit an estimator to the observations that a fit may see.

    Args:
        name: What to call it.
        observations: All observations of the name.
        folder: Where the losses of their images are.

    Raises:
        RepvitNasError: They are of too few networks, or of several resolutions or classes.
    """
    seen = [observation for observation in observations if not observation.held_out]
    networks = {nameless(observation.architecture) for observation in seen}
    if len(networks) < FEWEST:
        raise RepvitNasError(
            f"{name}: {len(networks)} trained networks tell nothing of others; at least {FEWEST} "
            "different ones are needed"
        )
    sides = {(network.resolution, network.num_classes) for network in networks}
    if len(sides) > 1:
        raise RepvitNasError(
            f"{name}: observations must share one resolution and number of classes; got "
            f"{', '.join(f'{side} px with {classes}' for side, classes in sorted(sides))}"
        )
    ((resolution, classes),) = sides
    learned = learn(
        family_beside([observation.architecture for observation in seen]),
        seen,
        responses(seen, folder),
    )
    return PosteriorFile(
        name=name,
        circumstances=circumstances_of(seen),
        short=any(observation.short for observation in seen),
        resolution=resolution,
        num_classes=classes,
        observations=len(seen),
        networks=len(networks),
        digest=digest(observations),
        exponent=learned.exponent,
        usual=learned.usual,
        misfit=learned.misfit,
        noise=learned.noise,
        features=SHAPE_FEATURES,
        mean=tuple(learned.effects.mean.tolist()),
        covariance=tuple(map(tuple, learned.effects.covariance.tolist())),
    )


def family_beside(architectures: Sequence[Architecture]) -> FamilyAt:
    """Return what the family says, beside the usual one of some networks."""
    posterior = load_family_estimator().posterior
    return FamilyAt(posterior.exponent, posterior.shape, usual_compute(shapes_of(architectures)))


def digest(observations: Sequence[AccuracyObservation]) -> str:
    """Return a digest of what an estimator is fitted to: observations, and the family's results."""
    seen = [observation for observation in observations if not observation.held_out]
    return files.digest(msgspec.json.encode(seen), load_family_estimator().digest.encode())


class TrainedEstimator:
    """An estimator that was fitted to trainings on one data set.

    Args:
        file: What the fit says.
        observations: What was seen.
    """

    def __init__(self, file: PosteriorFile, observations: Sequence[AccuracyObservation]) -> None:
        self.file = file
        self.learned = file.learned
        self._line = line(self.learned.effects)
        self._observed: dict[Architecture, list[AccuracyObservation]] = {}
        for observation in observations:
            self._observed.setdefault(nameless(observation.architecture), []).append(observation)

    @property
    def name(self) -> str:
        """The estimator's name."""
        return self.file.name

    @property
    def meaning(self) -> str:
        """What the accuracy is of."""
        file = self.file
        return (
            f"top-1 in % on {file.circumstances.data} at {file.resolution} px after recipe "
            f"{file.circumstances.recipe}, estimated from {file.networks} networks trained on it"
        )

    @property
    def resolution(self) -> int:
        """The input side in pixels that `meaning` speaks of."""
        return self.file.resolution

    @property
    def digest(self) -> str:
        """A digest of everything that decides what it estimates."""
        return self.file.digest

    def observed(self, architecture: Architecture) -> Observed | None:
        """Return what was seen of a network, held out or not."""
        found = self._observed.get(nameless(architecture))
        if not found:
            return None
        mean = float(np.mean([observation.top1 for observation in found]))
        return Observed(mean, len(found), found[0].origin)

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate the accuracy of each network; the deviation includes that of one training."""
        mean, variance = predict(self._line, self.learned.columns(shapes))
        return AccuracyEstimate(mean, np.sqrt(variance + self.learned.beyond))

    def covariance(self, shapes: Shapes) -> Floats:
        """Return the covariance of the estimates' errors; the misfit is each network's own."""
        found = self.learned.columns(shapes)
        same = (found[:, None] == found).all(axis=2)
        own = self.learned.misfit**2 * same + self.learned.noise**2 * np.eye(len(found))
        return np.asarray(covariance(self._line, found) + own)


def write(folder: Path, file: PosteriorFile) -> None:
    """Write what a fit says beside its observations."""
    files.write_bytes(folder / POSTERIOR_FILE, files.encode_lines(file, "covariance"))


def read(folder: Path) -> TrainedEstimator:
    """Read an estimator; it is fitted anew where its observations are others than it was fitted to.

    Raises:
        RepvitNasError: There are no observations, or too few.
        FileError: A file is damaged.
    """
    observations = ObservationLog(folder).read()
    path = folder / POSTERIOR_FILE
    if path.is_file():
        file = files.read_json(path, PosteriorFile)
        if file.digest == digest(observations) and file.features == SHAPE_FEATURES:
            return TrainedEstimator(file, observations)
    return TrainedEstimator(fit(folder.name, observations, folder), observations)


def load_estimator(name: str) -> JointEstimator:
    """Return the estimator of a name: `family`, or one that was trained here.

    It is read when it is new or its files have changed.

    Raises:
        UnknownNameError: There is none.
    """
    if name == FAMILY:
        return load_family_estimator()
    folder = find(name).path
    states = [_state(folder / file) for file in (OBSERVATIONS_FILE, POSTERIOR_FILE)]
    return _read_once(folder, Path.cwd(), *states)


@functools.lru_cache(maxsize=8)
def _read_once(folder: Path, _: Path, *__: tuple[int, ...]) -> TrainedEstimator:
    """Read an estimator, once in a working directory while its files are in these states."""
    return read(folder)


def _state(path: Path) -> tuple[int, ...]:
    """Return what tells whether a file has changed; nothing where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def refuse_second_name(name: str, circumstances: Circumstances) -> None:
    """Refuse a name for a data set and recipe that another name stands for already.

    Raises:
        RepvitNasError: Another name does.
    """
    for other in known():
        if other == name or not circumstances.data_digest:
            continue
        observations = ObservationLog(find(other).path).read()
        if observations and not circumstances_of(observations).differences(circumstances):
            raise RepvitNasError(
                f"--name {name}: accuracies on this data set by this recipe are known as {other!r} "
                f"already; go on with --name {other}"
            )
