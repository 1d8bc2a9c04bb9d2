"""What `export` prints: a row a form, and what the forms were compared on."""

from collections.abc import Sequence
from typing import Final

from repvit_nas.export.records import ExportRecord, fewer_bits_words
from repvit_nas.export.subject import UNTRAINED
from repvit_nas.report.tables import Grid

FORM_HEADER: Final = ("form", "file", "MB", "differs by", "at most", "agrees", "run by")


def export_parts(title: str, record: ExportRecord) -> list[Grid | str]:
    """Return what is printed of an export."""
    return [Grid.of(title, FORM_HEADER, form_rows(record)), *export_lines(record)]


def form_rows(record: ExportRecord) -> list[Sequence[str]]:
    """Return the cells of the forms."""
    return [
        (
            form.name,
            form.file,
            f"{form.size_bytes / 1e6:.2f}",
            f"{form.error:.1e}",
            f"{form.allowed:.1e}",
            f"{form.agreement:.2f} % of {form.images:,}",
            form.ran,
        )
        for form in record.forms
    ]


def export_lines(record: ExportRecord) -> list[str]:
    """Return what stands below the table: images, bound, latency here, and that it is untrained."""
    lines = (
        [f"The network is {UNTRAINED}; it knows nothing of any image."] if record.untrained else []
    )
    if record.missing:
        lines.append(
            f"Compared on {record.compared_on}, not on validation images: {record.missing}"
        )
    elif record.compared_on:
        lines.append(f"Compared on {record.compared_on}")
    lines += [
        f"{form.name}: {fewer_bits_words(form.fewer_bits)}"
        for form in record.forms
        if form.fewer_bits
    ]
    bound = record.rounding
    if bound is not None:
        lines.append(
            f"Fused in double precision it differs by {bound.fusing:.1e} (at most "
            f"{bound.fusing_allowed:.0e}). Single precision rounds the training form by "
            f"{bound.single:.1e} and the fused weights by {bound.weights:.1e}, on {bound.images:,} "
            f"images: {bound.factor:g} times the larger is allowed"
        )
    lines.append(
        f"One image on one thread here: {record.unfused_ms:.2f} ms unfused, {record.fused_ms:.2f} ms "
        f"fused ({record.unfused_ms / record.fused_ms:.2f} x)"
    )
    return lines
