"""What a search loads: once, to be handed on from the problem to the report."""

from typing import NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.accuracy.estimator import AccuracyEstimator
from repvit_nas.accuracy.trained import FAMILY, TrainedEstimator, find, load_estimator
from repvit_nas.architecture import FEATURES, LOGITS, OutputKind, usual_resolution
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PublishedLatency, published_of
from repvit_nas.predictors.predictor import Predictor, load_predictor, said
from repvit_nas.search_space.family import accuracy_table
from repvit_nas.search_space.space import Space, load_space
from repvit_nas.searching.settings import Settings


class DeviceInputs(NamedTuple):
    """What a search reads of one device.

    Attributes:
        predictor: What networks cost on it.
        found: Where the predictor was found.
        published: What was published of it.
    """

    predictor: Predictor
    found: data.Found
    published: tuple[PublishedLatency, ...]

    def said(self) -> str:
        """Say whose latencies are used, and which copy of them."""
        return said(self.predictor, self.found)


class Inputs(NamedTuple):
    """What a search reads.

    Attributes:
        space: Which networks there are.
        space_found: Where the space was found.
        devices: Each device of the budget.
        estimator: Says how accurate a network would be.
        accuracy_found: Where the accuracies that it learned from were found.
    """

    space: Space
    space_found: data.Found
    devices: tuple[DeviceInputs, ...]
    estimator: AccuracyEstimator
    accuracy_found: data.Found

    @property
    def predictors(self) -> list[Predictor]:
        """The predictor of each device of the budget."""
        return [device.predictor for device in self.devices]

    def digests(self) -> dict[str, str]:
        """Return a digest of each input that decides the outcome."""
        return {
            f"space {self.space.name}": self.space.digest,
            f"accuracy {self.estimator.name}": self.estimator.digest,
            **{
                f"predictor {predictor.device}": files.digest(msgspec.json.encode(predictor.model))
                for predictor in self.predictors
            },
        }


def load_inputs(settings: Settings, *, foreign: bool = False) -> Inputs:
    """Load what `settings` name.

    Args:
        settings: What to search.
        foreign: Accept a processor's table that was measured on another machine.

    Raises:
        RepvitNasError: A space or a device is not known, or its file is not valid.
    """
    space, found = load_space(settings.space)
    space.check_resolution(settings.resolution)
    devices = tuple(load_device_inputs(device, foreign=foreign) for device in settings.budgets_ms)
    estimator = load_estimator(settings.accuracy)
    known = accuracy_table() if settings.accuracy == FAMILY else find(settings.accuracy)
    return Inputs(space, found, devices, estimator, known)


def input_of(
    accuracy: str, resolution: int | None, num_classes: int | None, output: OutputKind = LOGITS
) -> tuple[int | None, int]:
    """Return the input side and the classes of a search where the user leaves one open.

    They are those that the networks of an estimator were trained with; of the family, the space's and
    ImageNet's thousand. Networks that hand back maps have no classes, and take the side that these
    are used at.

    Raises:
        UnknownNameError: There is no such estimator.
    """
    if output != LOGITS:
        side = usual_resolution(output) if resolution is None else resolution
        return side, 0 if num_classes is None else num_classes
    estimator = load_estimator(accuracy)
    if isinstance(estimator, TrainedEstimator):
        side = estimator.resolution if resolution is None else resolution
        return side, estimator.file.num_classes if num_classes is None else num_classes
    return resolution, 1000 if num_classes is None else num_classes


def load_device_inputs(device: str, *, foreign: bool = False) -> DeviceInputs:
    """Load the predictor of a device and what was published of it; see :func:`load_predictor`.

    Raises:
        RepvitNasError: The device is not known, or its files are not valid.
    """
    predictor, found = load_predictor(device, foreign=foreign)
    return DeviceInputs(predictor, found, published_of(load_device(device)))


def study_digest(settings: Settings, inputs: Inputs) -> str:
    """Return the digest of everything that decides what a study proposes, but for its length."""
    endless = msgspec.to_builtins(msgspec.structs.replace(settings, trials=1))
    del endless["accuracy"]  # its name and digest are among the inputs'
    if settings.output in (LOGITS, FEATURES):  # the classes say which; a former version had no more
        del endless["output"]
    return files.digest(msgspec.json.encode([endless, sorted(inputs.digests().items())]))
