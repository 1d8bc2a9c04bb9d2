"""The reference family beside a trained network: trained by the same recipe, and compared."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas.architecture import Architecture, with_output
from repvit_nas.checking.records import ComparedNetwork, relation
from repvit_nas.errors import UnknownNameError
from repvit_nas.latency_lut.published import PublishedLatency, published_latency
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.search_space.family import family, published_top1
from repvit_nas.training.data import is_folder, moved
from repvit_nas.training.place import Place
from repvit_nas.training.records import (
    RANDOM,
    Asked,
    TrainFile,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import train
from repvit_nas.training.trained import TrainedRun
from repvit_nas.units import Network, rows
from repvit_nas.words import Progress, Say

FAMILY_FOLDER: Final = "family"
BESIDE: Final = ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3")
_IMAGENET: Final = (1000, 224)


def train_beside(
    run: TrainedRun,
    names: Iterable[str],
    *,
    data: str = "",
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> None:
    """Train reference networks as a run was trained, unless that was done before.

    Args:
        run: The run; they are trained in folders of its own.
        names: The reference networks.
        data: Where the images are now; empty for where the run had them.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        UnknownNameError: There is no such network.
        RepvitNasError: One cannot be trained.
    """
    asked = run.asked
    if data:
        asked = msgspec.structs.replace(asked, data=moved(asked.data, data))
    for name in names:
        if name not in family():
            raise UnknownNameError.of("reference network", name, list(family()))
        place = run.folder / FAMILY_FOLDER / name
        begun = is_training_run(place)
        if begun and read_training(place).ended is not None:
            continue
        start = "" if asked.init == RANDOM else f", from timm's published weights of {name}"
        say(f"training {name} by the same recipe on the same images{start}, in {place}")
        train(
            _member_asked(asked, name),
            place,
            Place(),
            command=f"repvit-nas check {run.folder} --train-family {name}",
            resume=begun,
            say=say,
            progress=progress,
        )


def _same_asked(one: Asked, other: Asked) -> bool:
    """Tell whether two runs were asked the same; where a folder of images lay is no difference."""
    if is_folder(one.data.name) and is_folder(other.data.name):
        one = msgspec.structs.replace(one, data=moved(one.data, other.data.name))
    return one == other


def _member_asked(asked: Asked, name: str) -> Asked:
    """Return what a reference network is asked: all that the variant was, but for the network."""
    architecture = _as_trained(family()[name].architecture, asked.architecture)
    init = asked.init if asked.init == RANDOM else name
    # One process takes the steps of all: as many images in an update, and so the same rate.
    accumulate = asked.recipe.accumulate * asked.processes
    return msgspec.structs.replace(
        asked,
        architecture=architecture,
        recipe=msgspec.structs.replace(asked.recipe, accumulate=accumulate),
        init=init,
        processes=1,
    )


def _as_trained(architecture: Architecture, like: Network) -> Architecture:
    return with_output(
        architecture, like.output, num_classes=like.num_classes, resolution=like.resolution
    )


class Beside(NamedTuple):
    """A run's network and the reference family.

    Attributes:
        variant: The row of the run's network.
        family: The rows of the reference networks.
    """

    variant: ComparedNetwork
    family: tuple[ComparedNetwork, ...]


def beside(
    run: TrainedRun,
    predictor: Predictor,
    published: Sequence[PublishedLatency],
    bits: Sequence[int] = (),
) -> Beside:
    """Put a run's network beside the reference family; those that were trained on the same have accuracies.

    Args:
        run: The run.
        predictor: What networks cost.
        published: What was published of the device.
        bits: Of stored weights, fewer than 16, with which latencies are modelled too.
    """
    asked = run.asked
    trained = _trained(run.folder / FAMILY_FOLDER)
    variant = _priced(asked.architecture.name or "variant", asked.architecture, predictor, bits)
    variant = msgspec.structs.replace(variant, top1=run.top1)
    compared = []
    for name in BESIDE:
        reference = family()[name]
        row = _priced(
            reference.title,
            _as_trained(reference.architecture, asked.architecture),
            predictor,
            bits,
        )
        row = _with_published(row, name, asked.architecture, published)
        member = trained.get(name)
        if member and member.outcome and _same_asked(member.asked, _member_asked(asked, name)):
            row = msgspec.structs.replace(row, top1=member.outcome.top1)
        shown = row.published_top1 if row.top1 is None else row.top1
        compared.append(msgspec.structs.replace(row, relation=relation(row, shown, variant)))
    return Beside(variant, tuple(compared))


def _trained(folder: Path) -> dict[str, TrainFile]:
    """Read the records of the reference networks that were trained in a folder."""
    places = {name: folder / name for name in BESIDE}
    return {name: read_training(place) for name, place in places.items() if is_training_run(place)}


def _priced(
    name: str, architecture: Network, predictor: Predictor, bits: Sequence[int]
) -> ComparedNetwork:
    units = rows(architecture)
    latency = predictor.estimate(architecture)
    return ComparedNetwork(
        name=name,
        params=sum(unit.params for unit in units),
        macs=sum(unit.macs for unit in units),
        latency_ms=latency.latency_ms,
        low_ms=latency.low_ms,
        high_ms=latency.high_ms,
        source=latency.source,
        fewer_bits_ms={
            str(each): predictor.estimate(architecture, bits=each).latency_ms for each in bits
        },
    )


def _with_published(
    row: ComparedNetwork, name: str, like: Network, published: Sequence[PublishedLatency]
) -> ComparedNetwork:
    """Add what was published of a reference network; of another input or head it is no comparison."""
    comparable = published if like.num_classes == _IMAGENET[0] else ()
    latency = published_latency(name, comparable, resolution=like.resolution)
    alike = (like.num_classes, like.resolution) == _IMAGENET
    accuracy = published_top1(name) if alike else None
    return msgspec.structs.replace(
        row,
        published_ms=latency.latency_ms if latency else None,
        published_top1=accuracy.top1 if accuracy else None,
    )
