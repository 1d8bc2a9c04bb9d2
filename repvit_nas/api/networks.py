"""`describe`, `read` and `write`: what a network is, row by row, and as a file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from repvit_nas.accuracy.family import FamilyEstimator
from repvit_nas.api.loading import (
    estimator_of,
    network_of,
    path_of,
    predictor_of,
    title_of,
)
from repvit_nas.api.search import Search, read_search
from repvit_nas.api.shown import Shown, axes_or_new
from repvit_nas.architecture import OutputKind
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.named import Named, load_network
from repvit_nas.networks import read_network, write_network
from repvit_nas.predictors.lookup import Outside
from repvit_nas.report import network, text
from repvit_nas.report.tables import Grid
from repvit_nas.searching.records import find_run
from repvit_nas.units import Network


class Description(Shown, msgspec.Struct, frozen=True):
    """A network row by row.

    Attributes:
        content: The network, its rows and its totals.
    """

    content: network.NetworkLines

    @property
    def found(self) -> str:
        """Which copy of the predictor priced it."""
        return self.content.predictor

    def document(self) -> dict[str, Any]:
        """Return the description as plain values under the names that JSON uses."""
        document: dict[str, Any] = msgspec.to_builtins(self.content)
        return document

    def lines(self) -> list[str]:
        """Say latency and accuracy of the whole network."""
        content = self.content
        return [
            (
                f"{content.latency_ms:.3f} ms on {content.device} ({content.interval:.0%} interval "
                f"{content.low_ms:.3f} to {content.high_ms:.3f}), {content.source}; "
                f"{content.overhead_ms:.3f} ms of it before any row"
            ),
            self._accuracy(),
        ]

    def _accuracy(self) -> str:
        content, seen = self.content, ""
        if content.observed is not None:
            seen = f"{content.accuracy_source}: {content.observed:.2f}"
        if content.accuracy is None or content.accuracy_std is None:
            return (
                f"{content.accuracy_meaning}: {seen or 'not known, and estimated for RepViT alone'}"
            )
        estimated = text.percent(content.accuracy, content.accuracy_std)
        return f"{content.accuracy_meaning}: {estimated}" + (f"; {seen}" if seen else "")

    def grid(self) -> Grid:
        """Return the table that is shown; equal rows in a run share a line."""
        return network.network_table(self.content)

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: a row for each unit, in the order of the network."""
        rows = self.content.rows
        return {
            "unit": [network.unit_text(row.unit) for row in rows],
            "macs": [row.macs for row in rows],
            "params": [row.params for row in rows],
            "size_bytes": [row.size_bytes for row in rows],
            "bytes_moved": [row.bytes_moved for row in rows],
            "peak_bytes": [row.peak_bytes for row in rows],
            "latency_ms": [row.latency_ms for row in rows],
            "source": [row.source for row in rows],
        }

    def _repr_html_(self) -> str:
        """Return the table in HTML, for notebooks, and what it says of the whole network."""
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.lines())
        return super()._repr_html_() + lines

    def plot(self, axes: Any = None) -> Any:
        """Draw what each row costs into matplotlib's `axes`, or new ones; return them."""
        drawn, rows = axes_or_new(axes), self.content.rows
        places = range(1, len(rows) + 1)
        drawn.bar(places, [1e3 * row.latency_ms for row in rows])
        drawn.set_xlabel(f"row of {title_of(self.content.architecture)}".replace("$", r"\$"))
        drawn.set_ylabel(f"µs on {self.content.device}, {self.content.source}")
        drawn.grid(alpha=0.25, axis="y")
        return drawn


def describe(
    arch: Named,
    device: str = DEFAULT_DEVICE,
    *,
    accuracy: str = FamilyEstimator.name,
    resolution: int | None = None,
    output: OutputKind | None = None,
    foreign: bool = False,
    outside: Outside = "flag",
) -> Description:
    """Describe a network: MACs, parameters, bytes, peak and milliseconds of each row.

    Args:
        arch: A reference name, an architecture file, a winner of a run, a network of a front, or an
            architecture.
        device: Whose milliseconds to give.
        accuracy: What estimates its accuracy.
        resolution: Side of the input in pixels; None takes the network's own.
        output: What it hands back; None takes the network's own.
        foreign: Accept a processor's table that was measured on another machine.
        outside: What to do with units outside the measured range, as in `predict`.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        RepvitNasError: There is no such network, device or estimator.
    """
    predictor, found = predictor_of(device, foreign=foreign, outside=outside)
    architecture = network_of(arch, resolution, output)
    return Description(network.describe(architecture, predictor, estimator_of(accuracy), found))


def read(path: str | Path) -> Network | Search:
    """Read what was written: an architecture file, or the folder of a search.

    Args:
        path: The file; or the folder, which may also be that of a run which came with the package.

    Raises:
        WrongTypeError: It is no path.
        FileError: It cannot be read, or is not valid; the message names the field.
    """
    place = path_of("path", path)
    if place.is_file() or place.suffix == ".json":
        return read_network(place)
    return read_search(find_run(str(place)))


def write(path: str | Path, what: Named | Search) -> None:
    """Write an architecture file, or a search with its front, winners, page and picture.

    Args:
        path: The file; for a search a folder, which holds no other run.
        what: Anything that names a network, or a search.

    Raises:
        WrongTypeError: It is neither, or the path is no path.
        FileError: It cannot be written.
    """
    place = path_of("path", path)
    if isinstance(what, Search):
        what.write(place)
    else:
        write_network(place, load_network(what))
