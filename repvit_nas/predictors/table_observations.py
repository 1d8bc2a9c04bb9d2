"""What was timed, as one fit takes it together with what others published.

Rows of a table become observations, and an error model says by how much each source is off: every
row on its own, and all rows of a source in common.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.series import USUAL_OFFSET
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.engine import Engine
from repvit_nas.predictors.validation import TARGET_FAMILY
from repvit_nas.programs import network
from repvit_nas.units import count, rows

# How far the physical model's form may miss one unit, and one whole network, of a table.
UNIT_MISFIT: Final = {"unit": 0.10, "network": 0.02}
# What the rows of a table are called where each way of timing has its own offset; those of a
# series that was brought to it have the series' name behind.
_TOOL: Final = "table"


def unit_observations(table: Table, units: Sequence[UnitRow]) -> list[Observation]:
    """Return units of a table as observations; what a whole series has in common is its offset."""
    return [
        Observation(
            name=repr(row.unit),
            network=repr(row.unit),
            family="unit",
            resolution=0,
            units=((row.unit, 1),),
            latency_ms=row.latency_ms,
            error_ms=table.own_sd_ms(row),
            tool=_tool(row.series),
            source=_TOOL,
            calls=row.calls,
        )
        for row in units
    ]


def network_observations(table: Table, networks: Sequence[NetworkRow]) -> list[Observation]:
    """Return networks of a table as observations."""
    # Two plans call their networks alike: only the program tells them apart.
    keys = [network(row.architecture).key for row in networks]
    return [
        Observation(
            name=key,
            network=key,
            family="network",
            resolution=0,
            units=tuple(count(rows(row.architecture)).items()),
            latency_ms=row.latency_ms,
            error_ms=table.own_sd_ms(row),
            tool=_tool(row.series),
            source=_TOOL,
        )
        for key, row in zip(keys, networks, strict=True)
    ]


def _tool(series: str) -> str:
    """Return what rows of a table that are of a series are called."""
    return f"{_TOOL} {series}" if series else _TOOL


def beside_measured(errors: ErrorModel, table: Table, *, published: bool = True) -> ErrorModel:
    """Return the errors of a fit that sees a table, published rows beside it or not.

    Whole networks that were timed are what counts: the table's own rows have no offset, those of a
    series brought to them have what is not known of its factor, and published rows have at least
    the offset that two ways of timing a device usually have. A table of units alone says nothing
    of whole networks, which the published rows do: there the offset is the table's.

    Args:
        errors: What the device's assumptions say.
        table: The table.
        published: Whether there are published rows.
    """
    units_alone = published and not any(isinstance(row, NetworkRow) for row in table.rows)
    own = USUAL_OFFSET if units_alone else 0.0
    theirs = USUAL_OFFSET if published and not units_alone else 0.0
    return msgspec.structs.replace(
        errors,
        misfit={**UNIT_MISFIT, **errors.misfit},
        shared={**dict.fromkeys(UNIT_MISFIT, 0.0), **errors.shared},
        offset={name: max(value, theirs) for name, value in errors.offset.items()}
        | {_tool(name): math.hypot(own, value) for name, value in table.shared_sd.items()}
        | {_TOOL: own},
    )


def taken_beside(assumptions: Assumptions, table: Table) -> Assumptions:
    """Return what a modelled fit takes for granted that sees a table, see :func:`beside_measured`.

    What is known of an engine was found out with others' tools, as published rows were. Where the table
    is what counts, its coefficients may be off by as much as those: else its rates would hold the fit
    near what is published, however many networks are timed, as a modelled fit has no scale beside them.
    """
    errors = beside_measured(assumptions.errors, table)
    engine = assumptions.engine
    if isinstance(engine, Engine) and not errors.offset[_TOOL]:
        engine = engine.elsewhere(USUAL_OFFSET)
    return msgspec.structs.replace(assumptions, errors=errors, engine=engine)


def offsets_of(errors: ErrorModel, table: Table) -> dict[str, float]:
    """Return by series, `""` for the table's own, what its rows are taken to be off in common."""
    return {name: errors.offset[_tool(name)] for name in ("", *table.shared_sd)}


def beside_published(table: Table, published: Sequence[Observation]) -> list[Observation]:
    """Return a table's networks as observations that one fit takes with published ones.

    A network that was published too keeps its name: how far the model misses it is the same for both.
    """
    networks = [*table.networks("calibration"), *table.networks("held_out")]
    names = {frozenset(item.units): item.network for item in reversed(published)}
    found = []
    for item, row in zip(network_observations(table, networks), networks, strict=True):
        found.append(
            msgspec.structs.replace(
                item,
                name=row.architecture.name,
                network=names.get(frozenset(item.units), item.network),
                family=TARGET_FAMILY,
                resolution=row.architecture.resolution,
            )
        )
    return found
