"""Room: networks however they are told, by four stages or by their units: their files, sizes and names."""

from pathlib import Path
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.architecture import (
    SCHEMA,
    Architecture,
    shape_text,
    with_classes,
    write_architecture,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.path_units import WideHead
from repvit_nas.units import LISTED_SCHEMA, Head, Listed, Network, Unit, ends, rows

# The most parameters of a network that is built, far more than a phone's holds: 4 GB in training form.
MAX_PARAMS: Final = 1_000_000_000


def read_network(path: str | Path) -> Network:
    """Read an architecture file, of either schema.

    Raises:
        FileError: It is not valid; the message names the field.
    """
    raw: Any = files.read_json(Path(path), object, schema=None)
    return network_from(Path(path), raw)


def network_from(origin: str | Path, document: Any) -> Network:
    """Return the network of a document, such as the content of an architecture file.

    Args:
        origin: What to call it in an error message.
        document: Of either schema.

    Raises:
        FileError: It is not valid; the message names the field.
    """
    kinds: dict[int, type[Network]] = {SCHEMA: Architecture, LISTED_SCHEMA: Listed}
    schema = files.schema_of(origin, document, *kinds)
    return files.convert(origin, document, kinds[schema], schema=schema)


def write_network(path: str | Path, network: Network) -> None:
    """Write an architecture file, one stage or one unit a line."""
    if isinstance(network, Listed):
        files.write_bytes(Path(path), files.encode_lines(network, "units"))
    else:
        write_architecture(path, network)


def check_buildable(network: Network) -> None:
    """Raise before memory is asked for that no machine has.

    Raises:
        RepvitNasError: The network has too many parameters to be built.
    """
    params = sum(unit.params for unit in rows(network))
    if params > MAX_PARAMS:
        raise RepvitNasError(
            f"{network.name or 'the network'}: a network of more than {MAX_PARAMS // 10**6:,} million "
            f"parameters is not built; got {params / 1e6:,.0f} million"
        )


def told(network: Network) -> object:
    """Return what tells a network: its stages or its units."""
    return network.stages if isinstance(network, Architecture) else network.units


def adapted(
    network: Network, *, resolution: int | None = None, num_classes: int | None = None
) -> Network:
    """Return a network at another resolution, or with other classes; None keeps its own.

    Raises:
        RepvitNasError: There is no network of such a resolution, or with so many classes.
    """
    try:
        return _adapted(network, resolution, num_classes)
    except ValueError as error:
        raise RepvitNasError(f"{network.name or 'the network'}: {error}") from error


def _adapted(network: Network, resolution: int | None, num_classes: int | None) -> Network:
    side = network.resolution if resolution is None else resolution
    classes = network.num_classes if num_classes is None else num_classes
    if isinstance(network, Architecture):
        return with_classes(network, classes, side)
    units: list[Unit] = []
    for unit in network.units:
        changes = {"classes": classes} if isinstance(unit, Head | WideHead) else {}
        units.append(msgspec.structs.replace(unit, size=side, **changes))
        side = ends(units[-1]).size_out
    return msgspec.structs.replace(network, units=tuple(units))


def summary(network: Network) -> str:
    """Return a network's shape in one short line; of one told by its units, how many these are."""
    if isinstance(network, Architecture):
        return shape_text(network)
    at = "" if network.resolution == 224 else f" / {network.resolution}px"
    return f"{len(network.units)} units{at}"
