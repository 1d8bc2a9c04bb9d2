"""What was published of networks behind detectors, segmenters and SAM's decoder: never measured here."""

import functools

import msgspec

from repvit_nas import data, files
from repvit_nas.architecture import OutputKind
from repvit_nas.quantities import Factor


class Downstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published figure.

    Attributes:
        title: What its authors call it.
        output: What the backbone hands back.
        task: On which task, and how it was trained for that.
        metric: What the figure is: `AP box`, `AP mask`, `mIoU`, `AP`, or milliseconds somewhere.
        value: The figure.
        source: Where it was published.
        network: Name of the reference network that is the backbone; empty for one of another family.
        note: Anything a reader should know.
    """

    title: str
    output: OutputKind
    task: str
    metric: str
    value: Factor
    source: str
    network: str = ""
    note: str = ""


@functools.lru_cache(maxsize=1)
def downstream() -> tuple[Downstream, ...]:
    """Return the published figures in the order of their file."""
    found = data.find("search_space", "downstream.csv", "table of downstream figures")
    return tuple(files.read_csv(found.path, Downstream))


def published_downstream(network: str, output: OutputKind) -> dict[str, Downstream]:
    """Return what was published of a reference network with such an output, by metric."""
    return {
        row.metric: row for row in downstream() if (row.network, row.output) == (network, output)
    }
