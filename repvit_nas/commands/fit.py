"""`repvit-nas fit`: fit a device's predictor to what is known of it."""

from pathlib import Path
from typing import Any

import click

from repvit_nas.commands.options import (
    console,
    debug_option,
    device_option,
    echo_json,
    json_option,
    note,
    progress_bar,
)


@click.command("fit")
@device_option
@json_option
@debug_option
def command(device: str, *, as_json: bool) -> None:
    r"""Fit and validate the predictor of a device, and write it to predictors/<device>/.

    Every network is predicted by fits that never saw it: without the network, without its whole
    family, and RepViT without RepNeXt too, whose networks have its shapes.

    \b
    Example: repvit-nas fit --device iphone12
    """
    from repvit_nas.latency_lut.device import load_device
    from repvit_nas.predictors.fitting import fit_published, write_fitted
    from repvit_nas.report.validation import validation_picture

    loaded = load_device(device)
    groups = 0

    with progress_bar() as progress:

        def count(name: str) -> None:
            nonlocal groups
            groups += 1
            progress(f"validating without {name}", groups, max(groups, 1))

        fitted = fit_published(loaded, count)
    folder = Path("predictors") / device
    write_fitted(folder, fitted, picture=validation_picture(fitted.validation))
    note(f"fitted on {loaded.folder}, written to {folder}")
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(fitted.validation)
        echo_json(document)
        return
    from rich.table import Table

    table = Table(
        "group",
        "latencies",
        "in sample",
        "network left out",
        "family left out",
        "RepViT and RepNeXt left out",
        "in 90 % interval",
        title=f"{device}: mean error in %",
    )
    for name, summary in fitted.validation.summaries.items():
        table.add_row(
            name,
            str(summary.networks),
            f"{summary.in_sample_percent:.1f}",
            f"{summary.without_network_percent:.1f}",
            f"{summary.without_family_percent:.1f}",
            f"{summary.without_lookalikes_percent:.1f}",
            f"{summary.coverage_percent:.0f}",
        )
    console().print(table)
