"""The tables of `check`: one run beside the family, and several seeds together."""

from collections.abc import Sequence
from typing import Final

from repvit_nas.checking.records import CheckRecord, NetworkRow
from repvit_nas.checking.seeds import SeededRow, SeedsRecord, settled
from repvit_nas.report import text


def first_cells(row: NetworkRow) -> Sequence[str]:
    """Return what every table says of a network: name, size, latency and accuracy here."""
    return (
        row.name,
        text.millions(row.params),
        f"{row.macs / 1e6:,.1f}",
        text.milliseconds(row.latency_ms, row.low_ms, row.high_ms),
        "" if row.top1 is None else f"{row.top1:.2f}",
    )


def table_rows(found: CheckRecord) -> list[Sequence[str]]:
    """Return the cells of the networks beside each other."""

    def cells(row: NetworkRow) -> Sequence[str]:
        return (
            *first_cells(row),
            "" if row.published_ms is None else f"{row.published_ms:g}",
            "" if row.published_top1 is None else f"{row.published_top1:.1f}",
            row.relation,
        )

    return [cells(found.variant), *(cells(row) for row in found.family)]


TABLE_HEADER: Final = (
    "network",
    "M params",
    "M MACs",
    "ms predicted",
    "top-1 % here",
    "ms published",
    "top-1 % published",
    "relation",
)

SEEDS_HEADER: Final = (
    "network",
    "M params",
    "M MACs",
    "ms predicted",
    "top-1 % here, mean",
    "seeds",
    "sd",
    "variant leads by (90 %)",
    "relation",
)


def seeds_rows(found: SeedsRecord) -> list[Sequence[str]]:
    """Return the cells of the networks beside each other."""

    def cells(row: SeededRow) -> Sequence[str]:
        half = "" if row.lead_half is None else f" ± {row.lead_half:.2f}"
        return (
            *first_cells(row.network),
            str(len(row.top1)),
            "" if row.sd is None else f"{row.sd:.2f}",
            "" if row.lead is None else f"{row.lead:+.2f}{half}",
            settled(row) or ("" if row.lead is None else "not settled"),
        )

    return [cells(row) for row in found.networks]
