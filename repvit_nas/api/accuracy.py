"""`estimate`: how accurate networks would be."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import msgspec

from repvit_nas.accuracy.estimator import AccuracySource, Observed, meaning_at
from repvit_nas.accuracy.estimator import estimate as estimated
from repvit_nas.accuracy.family import FamilyEstimator
from repvit_nas.api.loading import architecture_of, estimator_of, networks_in, title_of
from repvit_nas.api.shown import Shown, ShownRows, bars_with_intervals
from repvit_nas.architecture import Architecture
from repvit_nas.named import Named
from repvit_nas.report import text
from repvit_nas.report.tables import Grid
from repvit_nas.shapes import shapes_of


class Accuracy(Shown, msgspec.Struct, frozen=True):
    """A network's estimated accuracy.

    Attributes:
        architecture: The network.
        accuracy: In percent.
        std: The standard deviation of that, in points.
        meaning: What it is the accuracy of: data set, epochs, recipe.
        estimator: What says so.
        source: Whether it is published, trained here or imported, or only estimated.
        observed: The accuracy that was seen, in percent; None where it is only estimated.
    """

    architecture: Architecture
    accuracy: float
    std: float
    meaning: str
    estimator: str
    source: AccuracySource = "estimated"
    observed: float | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        figure = text.percent(self.accuracy, self.std)
        seen = "" if self.observed is None else f"; {self.source}: {self.observed:.2f}"
        return f"{title_of(self.architecture)}: {self.meaning}: {figure}{seen}"

    def document(self) -> dict[str, Any]:
        """Return the accuracy as plain values under the names that JSON uses."""
        return {
            "accuracy": self.accuracy,
            "accuracy_std": self.std,
            "accuracy_meaning": self.meaning,
            "accuracy_source": self.source,
            "observed": self.observed,
        }

    def grid(self) -> Grid:
        """Return the table that is shown."""
        return Accuracies((self,)).grid()

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame."""
        return Accuracies((self,)).columns()

    def plot(self, axes: Any = None) -> Any:
        """Draw the accuracy ± one deviation into matplotlib's `axes`, or new ones; return them."""
        return Accuracies((self,)).plot(axes)


class Accuracies(ShownRows[Accuracy], msgspec.Struct, frozen=True):
    """The estimated accuracies of networks, in the order in which they were given."""

    rows: tuple[Accuracy, ...]

    def __getitem__(self, index: int) -> Accuracy:
        """Return one accuracy."""
        return self.rows[index]

    def __str__(self) -> str:
        """Say each in a line."""
        return "\n".join(map(str, self.rows))

    def grid(self) -> Grid:
        """Return the table that is shown."""
        cells = [
            (title_of(row.architecture), text.percent(row.accuracy, row.std)) for row in self.rows
        ]
        meaning = self.rows[0].meaning if self.rows else ""
        return Grid.of(meaning, ("network", "% ± one deviation"), cells)

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: network, percent and what they are of."""
        return {
            "network": [row.architecture.name for row in self.rows],
            "resolution": [row.architecture.resolution for row in self.rows],
            "accuracy": [row.accuracy for row in self.rows],
            "std": [row.std for row in self.rows],
            "source": [row.source for row in self.rows],
            "observed": [row.observed for row in self.rows],
            "meaning": [row.meaning for row in self.rows],
            "estimator": [row.estimator for row in self.rows],
        }

    def plot(self, axes: Any = None) -> Any:
        """Draw each accuracy ± one deviation into matplotlib's `axes`, or new ones; return them."""
        names = [title_of(row.architecture) for row in self.rows]
        ends = [(row.accuracy - row.std, row.accuracy + row.std) for row in self.rows]
        drawn = bars_with_intervals(axes, names, [row.accuracy for row in self.rows], ends)
        drawn.set_xlabel(self.rows[0].meaning if self.rows else "accuracy, %")
        return drawn


def _seen(seen: Observed | None) -> tuple[AccuracySource, float | None]:
    return ("estimated", None) if seen is None else (seen.source, seen.top1)


@overload
def estimate(  # type: ignore[overload-overlap]  # a text is a sequence of texts
    arch: Named, accuracy: str = ..., *, resolution: int | None = ...
) -> Accuracy: ...


@overload
def estimate(
    arch: Sequence[Named], accuracy: str = ..., *, resolution: int | None = ...
) -> Accuracies: ...


def estimate(
    arch: Named | Sequence[Named],
    accuracy: str = FamilyEstimator.name,
    *,
    resolution: int | None = None,
) -> Accuracy | Accuracies:
    """Estimate how accurate a network would be, with the deviation of that.

    Args:
        arch: A reference name (`repvit_m0_9`), an architecture file, a winner of a run, a network of
            a front, an architecture, or a list of these.
        accuracy: What estimates it: `family` learned from the published family, or what
            `measure-accuracy` learned from trainings, by name.
        resolution: Side of the input in pixels; None takes the network's own.

    Returns:
        The accuracy in percent; where a list is given, all of them.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        UnknownNameError: There is no such estimator; the message suggests the nearest.
        RepvitNasError: There is no such network.
    """
    estimator = estimator_of(accuracy)
    networks = [architecture_of(one, resolution) for one in networks_in(arch)]
    rows: tuple[Accuracy, ...] = ()
    if networks:
        found = estimated(estimator, shapes_of(networks))
        rows = tuple(
            Accuracy(
                network,
                float(mean),
                float(std),
                meaning_at(estimator, network.resolution, network.output),
                estimator.name,
                *_seen(estimator.observed(network)),
            )
            for network, mean, std in zip(networks, found.mean, found.std, strict=True)
        )
    return rows[0] if isinstance(arch, Named) else Accuracies(rows)
