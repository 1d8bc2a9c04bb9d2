"""A CSV of whole-network latencies, measured anywhere by anything, becomes rows of a device."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.architecture import Architecture, with_classes
from repvit_nas.errors import ContradictionError, FileError, RepvitNasError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    Device,
    DeviceFile,
    check_device_name,
    device_names,
    load_device,
)
from repvit_nas.latency_lut.own import OWN_FILE, OwnLatency, own_observations, read_own, write_own
from repvit_nas.named import load_architecture
from repvit_nas.predictors.ensemble import FURTHEST_OFF
from repvit_nas.predictors.fit_device import read_known
from repvit_nas.predictors.plausible import FURTHEST, INSIST, check_like_predicted
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.predictor_file import PREDICTOR_FILE
from repvit_nas.quantities import Count, Duration, Milliseconds, Side
from repvit_nas.units import rows
from repvit_nas.words import number_of

# What a figure is taken to be off by where nobody says: tools that repeat runs differ by about as much.
USUAL_ERROR: Final = 0.03
# Million million multiply-accumulates a second of one image at a time: from the slowest board that runs
# such networks at all to the fastest accelerator. A wrong unit is a thousand times off.
_SLOWEST, _FASTEST = 0.002, 4.0


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the CSV.

    Attributes:
        architecture: A reference name, an architecture file (sought beside the CSV first), a winner, a
            training run, or the content of an architecture file.
        latency_ms: Milliseconds for one image.
        tool: What timed it.
        error_ms: Standard deviation of that; a usual share where nothing is said.
        resolution: Input side in pixels, where it is another than the architecture's.
        num_classes: Outputs, where they are others than the architecture's.
        source: Who timed it, or on which machine.
        note: Anything a reader should know.
    """

    architecture: str
    latency_ms: Milliseconds
    tool: str
    error_ms: Duration | None = None
    resolution: Side | None = None
    num_classes: Count | None = None
    source: str = ""
    note: str = ""


class Target(NamedTuple):
    """The device that rows go into.

    Attributes:
        name: Its name.
        file: What it is; of a new device what will be written.
        new: Whether it is one.
    """

    name: str
    file: DeviceFile
    new: bool

    @property
    def folder(self) -> Path:
        """Where it is in the working directory."""
        return Path("latency_lut") / self.name


def target_of(device: str, like: str = "", title: str = "") -> Target:
    """Return the device that rows go into: one that is there, or a new one that is like another.

    Args:
        device: Its name.
        like: The device whose predictor the rows shift and scale; for a new device.
        title: What people call a new device.

    Raises:
        RepvitNasError: There is no such device and nothing that it is like, or it is like another.
    """
    if device in device_names():
        file = load_device(device).file
        if like and like != file.like:
            raise RepvitNasError(
                f"device {device!r} is there, and is {f'like {file.like}' if file.like else 'like none'}: "
                "leave --like out, or choose another --device name"
            )
        if title and title != file.title:
            raise RepvitNasError(f"device {device!r} is there, and is called {file.title!r}")
        return Target(device, file, new=False)
    if not like:
        raise RepvitNasError(
            f"device {device!r} is not known; for a new one give --like, the device whose predictor "
            f"your latencies shift and scale: {', '.join(device_names())}"
        )
    load_predictor(like, foreign=True)  # says what there is, and whether it is fitted
    file = DeviceFile(
        device=check_device_name(device),
        title=title or device,
        kind="modelled",
        circumstances={"statistic": "as given with each latency"},
        like=like,
    )
    return Target(device, file, new=True)


def read_latencies(path: Path) -> list[OwnLatency]:
    """Read a CSV of latencies.

    Raises:
        FileError: A line is not valid, or names no network; or there is no line.
    """
    lines = files.read_csv(path, _Line)
    if not lines:
        raise FileError(
            f"{path}: holds no latency; a line is `architecture,latency_ms,tool` and may have "
            "`error_ms`, `resolution`, `num_classes`, `source` and `note`"
        )
    found = []
    for number, line in enumerate(lines, start=2):
        try:
            found.append(_row(line, path.parent))
        except (RepvitNasError, ValueError) as error:
            raise FileError(f"{path}: line {number}: {error}") from error
    return found


def _row(line: _Line, beside: Path) -> OwnLatency:
    architecture = _architecture(line.architecture.strip(), beside)
    classes = architecture.num_classes if line.num_classes is None else line.num_classes
    error = USUAL_ERROR * line.latency_ms if line.error_ms is None else line.error_ms
    return OwnLatency(
        architecture=with_classes(architecture, classes, line.resolution),
        latency_ms=line.latency_ms,
        error_ms=float(f"{error:.6g}"),
        tool=line.tool,
        source=line.source,
        note=line.note,
    )


def _architecture(text: str, beside: Path) -> Architecture:
    if text.startswith("{"):
        try:
            raw = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FileError(f"architecture: is no valid JSON: {error}") from error
        return files.convert("architecture", raw, Architecture)
    near = beside / text
    return load_architecture(near if len(text) < 256 and near.is_file() else text)


def check_latencies(
    path: Path, target: Target, given: Sequence[OwnLatency], *, unlike_predicted: bool = False
) -> None:
    """Raise if rows cannot be a device's: they are there already, or most likely in another unit.

    Args:
        path: Where they come from, for the message.
        target: The device.
        given: The rows.
        unlike_predicted: Take them however far they are from what is predicted.

    Raises:
        FileError: They cannot.
    """
    present = () if target.new else read_own(load_device(target.name).path(OWN_FILE))
    seen = {row.identity: OWN_FILE for row in present}
    for number, row in enumerate(given, start=2):
        if row.identity in seen:
            raise FileError(
                f"{path}: line {number}: {row.name} at {row.architecture.resolution} px by {row.tool} "
                f"is in {seen[row.identity]} already; give the mean of repetitions, or tell them "
                "apart by `source`"
            )
        seen[row.identity] = f"line {number}"
    predictor = None if unlike_predicted else _predictor(target)
    if predictor is None:
        return
    ratios = [
        (item.name, math.log(item.latency_ms / float(predictor.totals(dict(item.units)).mean())))
        for item in own_observations(given)
    ]
    # A device of which nothing is known may be far slower or faster than the one that it is like.
    known = predictor.device == target.name
    if not known:
        _check_rate(path, given)
    limit = FURTHEST if known else math.inf
    # Where no model would fit both, insisting is of no use.
    hopeless = not target.file.like and any(
        abs(ratio) > math.log(FURTHEST_OFF) for _, ratio in ratios
    )
    otherwise = _as_another(target) if hopeless else INSIST
    check_like_predicted(str(path), predictor.device, ratios, furthest=limit, otherwise=otherwise)


def contradicted(path: Path, target: Target, error: ContradictionError) -> FileError:
    """Return the error of rows that no model of a device fits together with what is known of it."""
    return FileError(
        f"{path}: {str(error).partition(';')[0]}; nothing was written: correct them, or "
        f"{_as_another(target)}"
    )


def _as_another(target: Target) -> str:
    return f"import them as another device, with --device NAME --like {target.name}"


def _check_rate(path: Path, given: Sequence[OwnLatency]) -> None:
    """Raise if a device would compute slower or faster than any does.

    Raises:
        FileError: It would.
    """
    rates = [
        sum(unit.macs for unit in rows(item.architecture)) / item.latency_ms / 1e9 for item in given
    ]
    rate = statistics.median(rates)
    if not _SLOWEST <= rate <= _FASTEST:
        raise FileError(
            f"{path}: latencies must be of {_SLOWEST:g} to {_FASTEST:g} million million "
            f"multiply-accumulates a second; got {rate:.2g} (median of {len(given)}), as if they were "
            f"in {'microseconds' if rate < _SLOWEST else 'seconds'}: give milliseconds for one image, "
            "or import them as they are with --unlike-predicted"
        )


def _predictor(target: Target) -> Predictor | None:
    """Return the predictor that rows are compared with: the device's own, or that it is like."""
    fitted = data.listed("predictors").get(target.name)
    if not target.new and fitted is not None and (fitted.path / PREDICTOR_FILE).is_file():
        try:
            return load_predictor(target.name, foreign=True)[0]
        except RepvitNasError:
            return None  # not fitted to its figures, or damaged: the fit that follows mends that
    return load_predictor(target.file.like, foreign=True)[0] if target.file.like else None


def _visible(folder: Path) -> list[Path]:
    """List the files of a folder, whoever holds it."""
    return [path for path in sorted(folder.glob("[!.]*")) if path.is_file()]


def with_latencies(target: Target, given: Sequence[OwnLatency], folder: Path) -> Device:
    """Return a device as it would be with more rows, laid into an empty folder.

    Args:
        target: The device.
        given: The rows.
        folder: The empty folder.

    Raises:
        FileError: A file of the device is not valid.
    """
    if not target.new:
        there = load_device(target.name)
        read_known(there)  # which names a file that is not valid where it lies
        for path in _visible(there.folder.path):
            files.write_bytes(folder / path.name, files.read_bytes(path))
    write_own(folder / OWN_FILE, [*read_own(folder / OWN_FILE), *given])
    return Device(data.Found(folder, shipped=False), target.file)


def added(target: Target, wanted: Device) -> dict[Path, bytes]:
    """Return what the folder of a device, which is held, lacks of what it shall be, by path.

    What is shipped of a device is copied: its new folder hides that.

    Args:
        target: The device.
        wanted: The same with more rows; see :func:`with_latencies`.
    """
    contents = {target.folder / DEVICE_FILE: files.encode_json(target.file)} if target.new else {}
    for path in _visible(wanted.folder.path):
        place = target.folder / path.name
        if path.name == OWN_FILE or not place.exists():
            contents[place] = files.read_bytes(path)
    return contents


def said_of(target: Target, given: Sequence[OwnLatency]) -> str:
    """Say how many rows were added to those of a device, and how many it knows now."""
    path = target.folder / OWN_FILE
    number = len(read_own(path))
    said = f"{number_of(len(given), 'latency')} added to {path}"
    return f"{said}, which holds {number} now" if number > len(given) else said
