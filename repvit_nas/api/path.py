"""`path`: the networks between MobileNetV3-L and RepViT-M0.9, published and measured against predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from repvit_nas.api.loading import predictor_of
from repvit_nas.api.shown import Shown, axes_or_new
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PATH_FILE, read_path
from repvit_nas.latency_lut.table import NetworkRow
from repvit_nas.predictors.lookup import Outside
from repvit_nas.report.path_rows import PathRows, draw_path, path_rows
from repvit_nas.report.tables import Grid


class PathTable(Shown, msgspec.Struct, frozen=True):
    """The path step by step, on one device.

    Attributes:
        content: Its networks.
        found: Which copy of the predictor priced them.
    """

    content: PathRows
    found: str

    def documents(self) -> list[dict[str, Any]]:
        """Return the networks as plain values under the names that JSON uses."""
        return [row | {"predictor": self.found} for row in self.content.documents()]

    def grid(self) -> Grid:
        """Return the table that is shown."""
        return self.content.grid()

    def lines(self) -> list[str]:
        """Say how far off the predictions are."""
        return self.content.lines()

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: a row for each network."""
        rows = self.documents()
        return {name: [row[name] for row in rows] for name in rows[0]}

    def plot(self, axes: Any = None) -> Any:
        """Draw latency against the step into matplotlib's `axes`, or new ones; return them."""
        drawn = axes_or_new(axes)
        draw_path(drawn, self.content)
        return drawn


def path(
    device: str = DEFAULT_DEVICE,
    *,
    foreign: bool = False,
    outside: Outside = "flag",
    measured: Sequence[NetworkRow] = (),
) -> PathTable:
    """Compare the networks of the path from MobileNetV3-L to RepViT-M0.9, published and predicted.

    Each of them is a network by its name, `path:0` to `path:9` and `path:3b`: `load`, `predict` and
    `describe` take it.

    Args:
        device: The device's name.
        foreign: Accept a processor's table that was measured on another machine.
        outside: What to do with units outside the measured range, as in `predict`.
        measured: Networks of it that were timed on the device.

    Raises:
        WrongTypeError: The device's name is no text.
        RepvitNasError: There is no such device, or it cannot be predicted for.
        FileError: Its files are not valid.
    """
    predictor, found = predictor_of(device, foreign=foreign, outside=outside)
    place = load_device(device).path(PATH_FILE)
    published = {
        step.observation.network: step.observation.latency_ms
        for step in (read_path(place) if place.is_file() else ())
    }
    return PathTable(path_rows(predictor, published, measured), found)
