"""What the series of a Core ML device make of its folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.coreml.products import Product
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    Device,
    copy_shipped,
    read_device,
)
from repvit_nas.latency_lut.published import PUBLISHED_FILE
from repvit_nas.latency_lut.series import (
    SERIES_FOLDER,
    SOURCES_FILE,
    Contribution,
    Series,
    Sources,
    combined,
    read_series,
    series_folder,
)
from repvit_nas.latency_lut.table import TABLE_FILE, Table, write_table
from repvit_nas.latency_lut.visits import VisitLog
from repvit_nas.predictors.fit_measured import FEWEST_NETWORKS, FEWEST_UNITS
from repvit_nas.words import number_of

_FEWEST_HELD_OUT: Final = 2
# Operations that are named in a message.
_SHOWN: Final = 5


class Published(NamedTuple):
    """What the series of a device make together.

    Attributes:
        device: The device with its folder; measured if the series suffice for that, and else
            modelled from what was published and the networks that were timed.
        sources: What each series gave.
        units: Units in the table.
        networks: Networks in the table.
        unresolved: Units that were timed, but cost no more than their error.
    """

    device: Device
    sources: Sources
    units: int
    networks: int
    unresolved: int = 0

    def said(self) -> Iterator[str]:
        """Say what each series gave, and what the device is by that."""
        for source in self.sources.sources:
            yield _said_of(source, first=source is self.sources.sources[0])
        for left in self.sources.aside:
            yield f"series {left.series} is left aside: {left.why}"
        if self.device.file.kind == "modelled":
            yield (
                f"{number_of(self.units, 'unit')} and {number_of(self.networks, 'network')} are too "
                f"few to make {self.device.name} a measured device: it stays modelled, from what was "
                "published and what was timed together; the units that were timed take the place of "
                f"their modelled figures{_unresolved_words(self.unresolved)}"
            )


def publish(
    product: Product, folder: Path, *, everywhere: bool = False, latest: str = ""
) -> Published:
    """Combine the series of a device into its table, and make it a measured device.

    Where the series do not suffice for that (too few units or networks), a modelled device stays
    modelled, and its next fit takes what was timed together with the published latencies: the
    units that were timed take the place of their modelled figures. A device that was measured
    before stays as it is. The circumstances of the device become those of the series that is taken
    as it is.

    Args:
        product: The device.
        folder: Its folder.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        latest: The series that was measured just now, if one was.

    Raises:
        FileError: There is no series, or a file is not valid.
        RepvitNasError: The series do not suffice.
    """
    series = read_series(folder, product.device, everywhere=everywhere)
    table, sources = combined(series, meets=_suffices, latest=latest)
    held_out, calibration = len(table.networks("held_out")), len(table.networks("calibration"))
    known = _known(folder)
    networks = calibration + held_out
    if not _suffices(table):
        if known is not None and known.file.kind == "modelled":
            write_table(folder / TABLE_FILE, table)
            files.write_json(folder / SOURCES_FILE, sources)
            return Published(known, sources, len(table.units), networks, len(table.unresolved))
        raise RepvitNasError(
            f"{folder}: {number_of(len(table.units), 'unit')}, {calibration} calibration and "
            f"{held_out} held-out networks are known so far; a fit needs {FEWEST_UNITS}, {FEWEST_NETWORKS} and "
            f"{_FEWEST_HELD_OUT}: what is there is kept, and measure-lut or import-measurements adds "
            f"to it ({product.device} stays as it was){_unresolved_words(len(table.unresolved))}"
            f"{_without(series, sources)}"
        )
    first = next(one for one in series if one.name == sources.sources[0].series)
    file = msgspec.structs.replace(first.file, device=product.device, title=product.title)
    copy_shipped(product.device, folder, PUBLISHED_FILE)  # one fit takes both
    write_table(folder / TABLE_FILE, table)
    files.write_json(folder / DEVICE_FILE, file)
    files.write_json(folder / SOURCES_FILE, sources)
    device = Device(data.Found(folder, shipped=False), file)
    return Published(device, sources, len(table.units), networks, len(table.unresolved))


def _suffices(table: Table) -> bool:
    """Return whether a table makes a measured device."""
    return (
        len(table.units) >= FEWEST_UNITS
        and len(table.networks("calibration")) >= FEWEST_NETWORKS
        and len(table.networks("held_out")) >= _FEWEST_HELD_OUT
    )


def _said_of(source: Contribution, *, first: bool) -> str:
    """Say what a series gave; the others are brought to the first."""
    said = (
        f"series {source.series}: {number_of(source.units, 'unit')}, "
        f"{number_of(source.networks, 'network')}"
    )
    if source.left_out:
        said += (
            f", {number_of(source.left_out, 'program')} left out: not on the Neural Engine alone "
            "(--any-placement counts them)"
        )
    if not first:
        said += (
            f", divided by {source.factor:.3f} (± {source.factor_sd:.1%}, from "
            f"{number_of(source.shared, 'shared latency')})"
        )
    return said


def _unresolved_words(number: int) -> str:
    """Say how many units were timed and do not count; empty if there are none."""
    if not number:
        return ""
    return (
        f"; {number_of(number, 'unit')} more cost no more than their error, which more rounds lower"
    )


def _without(series: list[Series], sources: Sources) -> str:
    """Say which programs and series were not counted; empty if all were."""
    said = ""
    left_out = sum(source.left_out for source in sources.sources)
    if left_out:
        used = {source.series for source in sources.sources}
        names = sorted({name for one in series if one.name in used for name in one.elsewhere})
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        said += (
            f"; {number_of(left_out, 'program')} timed but not counted: not on the Neural Engine alone "
            f"(elsewhere: {', '.join(names[:_SHOWN])}{more}); --any-placement counts them"
        )
    for one in sources.aside:
        said += f"; series {one.series} is left aside: {one.why}"
    return said


def _known(folder: Path) -> Device | None:
    """Return the device of a folder as it is; None if it is none yet."""
    path = folder / DEVICE_FILE
    if not path.is_file():
        return None
    return Device(data.Found(folder, shipped=False), read_device(path, folder.name))


def claim_folder(product: Product, folder: Path) -> None:
    """Copy what is shipped of a device into its new folder, which hides the shipped one from now on.

    Until its series suffice for a fit, the device is modelled as before.

    Args:
        product: The device.
        folder: Its folder in the working directory.
    """
    copy_shipped(product.device, folder, DEVICE_FILE, PUBLISHED_FILE)


def moved_away(folder: Path) -> list[str]:
    """Return the series that a device's table was made of, and whose folders are gone since.

    Args:
        folder: The device's folder.

    Raises:
        FileError: Its `sources.json` is not valid.
    """
    path = folder / SOURCES_FILE
    if not path.is_file():
        return []
    return [
        source.series
        for source in files.read_json(path, Sources).sources
        if not VisitLog(series_folder(folder, source.series)).path.is_file()
    ]


def take_back(product: Product, folder: Path) -> bool:
    """Make a device's folder ready to be published from the series that are left.

    Where latencies of the device are shipped, it is modelled by these again until the series
    suffice without the one that was moved away.

    Args:
        product: The device.
        folder: Its folder.

    Returns:
        Whether programs counted so far that did not run on the Neural Engine alone.

    Raises:
        FileError: A file is not valid.
        RepvitNasError: No series is left.
    """
    series = read_series(folder, product.device)
    if not series:
        raise RepvitNasError(
            f"{folder / SERIES_FOLDER}: no series is left of those that {TABLE_FILE} was made of: "
            f"import or measure one, or move {folder} and predictors/{product.device} elsewhere to "
            "have the device as it is shipped"
        )
    before = {one.series: one for one in files.read_json(folder / SOURCES_FILE, Sources).sources}
    shipped = data.shipped_root() / "latency_lut" / product.device / DEVICE_FILE
    if shipped.is_file():
        files.write_bytes(folder / DEVICE_FILE, files.read_bytes(shipped))
    return any(
        one.left_out and one.name in before and not before[one.name].left_out for one in series
    )
