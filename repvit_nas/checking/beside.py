"""A trained network beside the reference family: size, latency, accuracy, and what was published."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from repvit_nas.checking.family import Member
from repvit_nas.checking.records import ComparedNetwork, relation
from repvit_nas.latency_lut.published import PublishedLatency, published_latency
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.search_space.family import published_top1
from repvit_nas.training.trained import TrainedRun
from repvit_nas.units import Network, rows

_IMAGENET: Final = (1000, 224)


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
    members: Sequence[Member],
    predictor: Predictor,
    published: Sequence[PublishedLatency],
    bits: Sequence[int] = (),
) -> Beside:
    """Put a run's network beside the reference family.

    Args:
        run: The run.
        members: The family.
        predictor: What networks cost.
        published: What was published of the device.
        bits: Of stored weights, fewer than 16, with which latencies are modelled too.
    """
    own = run.asked.architecture
    variant = _priced(own.name or "variant", own, predictor, bits)
    variant = msgspec.structs.replace(variant, top1=run.top1)
    family = []
    for member in members:
        row = _priced(member.title, member.architecture, predictor, bits)
        row = _with_published(row, member, published)
        shown = row.published_top1 if row.top1 is None else row.top1
        family.append(msgspec.structs.replace(row, relation=relation(row, shown, variant)))
    return Beside(variant, tuple(family))


def _priced(
    name: str, network: Network, predictor: Predictor, bits: Sequence[int]
) -> ComparedNetwork:
    units = rows(network)
    latency = predictor.estimate(network)
    return ComparedNetwork(
        name=name,
        params=sum(unit.params for unit in units),
        macs=sum(unit.macs for unit in units),
        latency_ms=latency.latency_ms,
        low_ms=latency.low_ms,
        high_ms=latency.high_ms,
        source=latency.source,
        fewer_bits_ms={
            str(each): predictor.estimate(network, bits=each).latency_ms for each in bits
        },
    )


def _with_published(
    row: ComparedNetwork, member: Member, published: Sequence[PublishedLatency]
) -> ComparedNetwork:
    """Add accuracy, and what was published; of another input or head it is no comparison."""
    network = member.architecture
    comparable = published if network.num_classes == _IMAGENET[0] else ()
    latency = published_latency(member.name, comparable, resolution=network.resolution)
    alike = (network.num_classes, network.resolution) == _IMAGENET
    accuracy = published_top1(member.name) if alike else None
    return msgspec.structs.replace(
        row,
        top1=member.top1,
        published_ms=latency.latency_ms if latency else None,
        published_top1=accuracy.top1 if accuracy else None,
    )
