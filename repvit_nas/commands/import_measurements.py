"""`repvit-nas import-measurements`: latencies that others timed, back into a device's table."""

from pathlib import Path
from typing import Any

import click

from repvit_nas.commands.coreml import publish_and_fit
from repvit_nas.commands.options import debug_option, json_option, note
from repvit_nas.errors import UnknownNameError


@click.command("import-measurements")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--device", required=True, help="The Core ML device that they were timed on.")
@click.option(
    "--any-placement",
    is_flag=True,
    help="Count programs too that did not run on the Neural Engine alone.",
)
@json_option
@debug_option
def command(folder: Path, device: str, *, any_placement: bool, as_json: bool) -> Any:
    r"""Take reports of the programs in DIR into the device's table, and fit it.

    DIR is what `measure-lut --device NAME --export DIR` wrote, with the reports put into it: Xcode's
    performance reports (NAME.mlperf), or CSV or JSON files with `program` and `latency_ms` or
    `samples_ms`. Serial numbers, device identifiers and device names in reports are not kept.

    \b
    Example: repvit-nas import-measurements programs --device iphone12
    """
    from repvit_nas.latency_lut.importers import read_folder
    from repvit_nas.latency_lut.store import hold
    from repvit_nas.phone.exporting import read_manifest, read_plan
    from repvit_nas.phone.importing import import_series
    from repvit_nas.phone.measuring import claim_folder
    from repvit_nas.phone.products import product, products

    wanted = product(device)
    if wanted is None:
        raise UnknownNameError.of("Core ML device", device, list(products()))
    manifest, plan = read_manifest(folder), read_plan(folder)
    reports = read_folder(folder)
    home = Path("latency_lut") / device
    with hold(home):
        claim_folder(wanted, home)
        names = import_series(wanted, home, plan, manifest, reports, say=note)
        note(f"{len(reports)} reports of {folder} are in {home} as {', '.join(names)}")
        return publish_and_fit(wanted, home, everywhere=any_placement, as_json=as_json)
