"""What the functions of this room load: networks by any name, and predictors once."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from repvit_nas import data
from repvit_nas.architecture import LOGITS, OUTPUTS, Architecture, OutputKind
from repvit_nas.errors import RepvitNasError, UnknownNameError, WrongTypeError
from repvit_nas.latency_lut.device import DEVICE_FILE, FIGURES
from repvit_nas.named import Named, load_architecture, load_network, shaped
from repvit_nas.networks import summary
from repvit_nas.predictors.lookup import ARRAYS_FILE, Outside
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.predictor_file import PREDICTOR_FILE
from repvit_nas.units import Network

if TYPE_CHECKING:
    from repvit_nas.accuracy.estimator import JointEstimator

# What a predictor is made of; where a file changes, it is loaded again.
_FILES: Final = {
    "latency_lut": (DEVICE_FILE, *FIGURES),
    "predictors": (PREDICTOR_FILE, ARRAYS_FILE),
}


class _Kept(NamedTuple):
    """A loaded predictor, what it was loaded from, and the state that was in before it was loaded."""

    places: "_Places"
    state: tuple[object, ...]
    predictor: Predictor
    found: str


class _Places(NamedTuple):
    """What a predictor is loaded from, and the folders here that would come before it."""

    there: tuple[str, ...]
    nearer: tuple[str, ...]


_kept: dict[tuple[str, bool, Outside, str], _Kept] = {}


def predictor_of(
    device: str, *, foreign: bool = False, outside: Outside = "flag"
) -> tuple[Predictor, str]:
    """Return the predictor of a device, loaded when it is new or its files have changed.

    Args:
        device: Its name.
        foreign: Accept a processor's table that was measured on another machine.
        outside: What to do with units outside the measured range.

    Returns:
        The predictor, and where it was found, in words.

    Raises:
        WrongTypeError: The name is no text.
        RepvitNasError: There is no such device, or it cannot be predicted for.
    """
    if not isinstance(device, str):
        raise WrongTypeError.of("device", "the name of a device, such as 'iphone12'", device)
    key = (device, foreign, outside, os.getcwd())  # noqa: PTH109  # a Path would cost as much as a prediction
    kept = _kept.get(key)
    if kept is None or _state(kept.places) != kept.state:
        places = _places(device)
        state = _state(places)
        predictor, found = load_predictor(device, foreign=foreign, outside=outside)
        kept = _kept[key] = _Kept(places, state, predictor, str(found))
    return kept.predictor, kept.found


def _places(device: str) -> _Places:
    there: list[str] = []
    for folder, names in _FILES.items():
        found = data.listed(folder).get(device)
        if found is not None:
            paths = (found.path, *(found.path / name for name in names))
            there += [str(path) for path in paths if path.exists()]
    return _Places(tuple(there), tuple(f"{folder}/{device}" for folder in _FILES))


def _state(places: _Places) -> tuple[object, ...]:
    """Return what tells whether anything has changed; a new file changes its folder."""
    try:
        stats = [os.stat(path) for path in places.there]  # noqa: PTH116  # as above
    except OSError:
        return ()
    seen = [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]
    return (*seen, *(os.access(path, os.F_OK) for path in places.nearer))


def estimator_of(accuracy: str) -> "JointEstimator":
    """Return the estimator of accuracies of a name.

    Raises:
        WrongTypeError: The name is no text.
        UnknownNameError: There is no such estimator.
    """
    from repvit_nas.accuracy.trained import load_estimator  # no prediction of a latency needs it

    if not isinstance(accuracy, str):
        raise WrongTypeError.of("accuracy", "the name of an estimator, such as 'family'", accuracy)
    return load_estimator(accuracy)


def network_of(
    arch: Named, resolution: int | None = None, output: OutputKind | None = None
) -> Network:
    """Return the network that `arch` names, at another resolution or with another output if given.

    Raises:
        WrongTypeError: It is nothing that names a network, or the resolution is no integer.
        RepvitNasError: There is no such network, or no network of such a resolution.
    """
    network = load_network(arch)
    if output is not None and output not in OUTPUTS:
        raise UnknownNameError.of("output", str(output), list(OUTPUTS))
    if resolution is None and output is None:
        return network
    side = None if resolution is None else integer("resolution", resolution)
    return _shaped(network, side, output)


def architecture_of(arch: Named, resolution: int | None = None) -> Architecture:
    """Return the RepViT architecture that `arch` names, see :func:`network_of`.

    Raises:
        WrongTypeError: It is nothing that names a network, or the resolution is no integer.
        RepvitNasError: There is no such network, none of such a resolution, or it has no stages.
    """
    return load_architecture(network_of(arch, resolution))


@functools.lru_cache(maxsize=1024)
def _shaped(network: Network, resolution: int | None, output: OutputKind | None) -> Network:
    return shaped(network, output, resolution)


def integer(what: str, arrived: object) -> int:
    """Return an integer as it is.

    Raises:
        WrongTypeError: It is none.
    """
    if isinstance(arrived, bool) or not isinstance(arrived, int):
        raise WrongTypeError.of(what, "an integer", arrived)
    return arrived


def title_of(architecture: Network) -> str:
    """Return what to call a network in a table."""
    at = "" if architecture.resolution == 224 else f" at {architecture.resolution} px"
    if isinstance(architecture, Architecture) and architecture.output != LOGITS:
        at += f", {architecture.output}"
    return f"{architecture.name}{at}" if architecture.name else summary(architecture)


def networks_in(given: Named | Sequence[Named]) -> tuple[Named, ...]:
    """Return what names networks, whether one is given or several."""
    if isinstance(given, Named):
        return (given,)
    if not isinstance(given, Sequence):
        raise WrongTypeError.of("a network", "a name, a path or an architecture", given)
    return tuple(given)


def devices_in(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of devices, whether one is given or several."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence):
        raise WrongTypeError.of("device", "the name of a device, such as 'iphone12'", given)
    return tuple(given)


def path_of(what: str, given: str | Path) -> Path:
    """Return a path.

    Raises:
        WrongTypeError: It is neither a text nor a path.
        RepvitNasError: It is empty.
    """
    if not isinstance(given, str | Path):
        raise WrongTypeError.of(what, "a path", given)
    if str(given) == "":
        raise RepvitNasError(f"{what} must name a place; got ''")
    return Path(given)
