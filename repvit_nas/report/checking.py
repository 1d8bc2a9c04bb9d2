"""The tables of `check`: one run beside the family, and several seeds together."""

from collections.abc import Sequence
from itertools import compress
from typing import Final

from repvit_nas.checking.records import CheckRecord, ComparedNetwork, MaskAgreement, standard_error
from repvit_nas.checking.seeds import SeededRow, SeedsRecord, settled
from repvit_nas.report import text
from repvit_nas.report.tables import Grid

PROMISE_HEADER: Final = ("promise", "kept", "promised", "found")
_KEPT: Final = {True: "yes", False: "BROKEN", None: "not checked"}


def check_parts(run: str, found: CheckRecord, *, beside: bool) -> list[Grid | str]:
    """Return what is printed of a checked run.

    Args:
        run: The run.
        found: What was found.
        beside: Whether the family stands beside it.
    """
    promised = Grid.of(run, PROMISE_HEADER, promise_rows(found), wraps=PROMISE_HEADER[2:])
    if not beside:
        return [promised, *_mask_lines(found.masks), *measured_lines(found)]
    title = f"Beside the family, on {found.device} ({found.variant.source})"
    family = Grid.of(title, *family_table(found), left=("relation",))
    lines = (*filter(None, [chance_line(found)]), *_mask_lines(found.masks))
    return [promised, family, *lines, *measured_lines(found)]


def _mask_lines(masks: MaskAgreement | None) -> list[str]:
    if masks is None:
        return []
    iou = f"mean IoU {100 * masks.iou:.1f} % with those of the teacher's maps"
    counts = f"{masks.masks:,} masks of {masks.pictures:,} pictures"
    return [f"Masks by {masks.decoder}, at {masks.points} points of each picture: {iou} ({counts})"]


def seeds_parts(found: SeedsRecord) -> list[Grid | str]:
    """Return what is printed of several runs together."""
    source = found.networks[0].network.source
    title = f"Over {len(found.seeds)} seeds, on {found.device} ({source})"
    return [Grid.of(title, SEEDS_HEADER, seeds_rows(found), left=("relation",))]


def promise_rows(found: CheckRecord) -> list[Sequence[str]]:
    """Return the cells of what was promised."""
    return [
        (promise.name, _KEPT[promise.kept], promise.promised, promise.found)
        for promise in found.promises
    ]


def measured_lines(found: CheckRecord) -> list[str]:
    """Return what was timed of the network: on the device, and here."""
    if found.measured_ms is not None:
        off = ", not all of it on the Neural Engine" if found.off_engine else ""
        lines = [f"Measured on {found.device}: {found.measured_ms:.2f} ms{off}"]
    else:
        lines = [f"Not measured: {found.not_measured}"] if found.not_measured else []
    here = found.export
    timed = f"{here.unfused_ms:.2f} ms unfused, {here.fused_ms:.2f} ms fused"
    return [*lines, f"One image by torch on one thread here: {timed}"]


def chance_line(found: CheckRecord) -> str:
    """Return what chance alone makes of an accuracy; empty where none was taken."""
    if not found.val_images:
        return ""
    return (
        f"The standard error of an accuracy on {found.val_images:,} images is "
        f"{standard_error(found):.2f} points: smaller differences say nothing."
    )


def drawn_family(rows: Sequence[ComparedNetwork], found: CheckRecord) -> bytes | None:
    """Draw the networks that were trained; None if there are not several."""
    from repvit_nas.report.training import family_picture

    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.top1 is not None:
            points.setdefault(row.name, []).append((row.latency_ms, row.top1))
    if len(points) < 2:
        return None
    return family_picture(
        points, f"predicted ms on {found.device} ({found.variant.source}), as trained"
    )


def first_cells(row: ComparedNetwork) -> Sequence[str]:
    """Return what every table says of a network: name, size, latency and accuracy here."""
    return (
        row.name,
        text.millions(row.params),
        f"{row.macs / 1e6:,.1f}",
        text.milliseconds(row.latency_ms, row.low_ms, row.high_ms),
        "" if row.top1 is None else f"{row.top1:.2f}",
    )


def family_table(found: CheckRecord) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return header and cells of the networks beside each other; a column that says nothing is left out."""

    def cells(row: ComparedNetwork) -> Sequence[str]:
        return (
            *first_cells(row),
            "" if row.published_ms is None else f"{row.published_ms:g}",
            "" if row.published_top1 is None else f"{row.published_top1:.1f}",
            ", ".join(f"{ms:.2f} ({bits})" for bits, ms in row.fewer_bits_ms.items()),
            row.relation,
        )

    rows = [cells(found.variant), *(cells(row) for row in found.family)]
    said = [any(column) for column in zip(*rows, strict=True)]
    return [*compress(_FAMILY_HEADER, said)], [[*compress(row, said)] for row in rows]


_FAMILY_HEADER: Final = (
    "network",
    "M params",
    "M MACs",
    "ms predicted",
    "top-1 % here",
    "ms published",
    "top-1 % published",
    "ms modelled (bits)",
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
