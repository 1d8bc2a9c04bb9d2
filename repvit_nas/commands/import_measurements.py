"""`repvit-nas import-measurements`: latencies that others timed, back into a device's table."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note
from repvit_nas.commands.fitting import combined_and_fitted
from repvit_nas.commands.options import any_placement_option, debug_option
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.predictors.validation import Validation


@click.command("import-measurements")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--device", required=True, help="The Core ML device that they were timed on.")
@any_placement_option
@click.option(
    "--unlike-predicted",
    is_flag=True,
    help="Take latencies too that are far from those predicted for the device.",
)
@answers
@debug_option
def command(
    folder: Path, device: str, *, any_placement: bool, unlike_predicted: bool
) -> Answer["Validation"]:
    r"""Take reports of the programs in DIR into the device's table, and fit it.

    DIR is what `measure-lut --device NAME --export DIR` wrote, with the reports put into it: Xcode's
    performance reports (NAME.mlperf), XCTest's results (NAME.xcresult, or what xcresulttool printed of
    them), RunLocal's (NAME.runlocal.json), Melange's (NAME.melange.json, of another runtime and so of
    a device NAME-melange), or CSV or JSON files with `program` and `latency_ms` or `samples_ms`. Serial numbers, device identifiers and device names in reports are not kept.

    Nothing is written where a report is not valid, or where latencies are so far from those predicted
    for the device that they must be in another unit.

    \b
    Example: repvit-nas import-measurements programs --device iphone12
    """
    from repvit_nas.coreml.exporting import read_manifest, read_plan
    from repvit_nas.coreml.importers.folder import read_folder
    from repvit_nas.coreml.importing import as_timed, checked_parts, write_parts
    from repvit_nas.coreml.products import known_product
    from repvit_nas.coreml.publishing import claim_folder
    from repvit_nas.latency_lut.visits import hold

    wanted = known_product(device)
    manifest, plan = read_manifest(folder), read_plan(folder)
    called = wanted.is_called
    reports = read_folder(folder, called)
    wanted = as_timed(wanted, reports)
    home = Path("latency_lut") / wanted.device
    # Before the folder is there: it hides what is shipped of the device.
    parts = checked_parts(
        wanted, home, plan, manifest, reports, unlike_predicted=unlike_predicted, called=called
    )
    with hold(home):
        claim_folder(wanted, home)
        names = write_parts(home, plan, parts, say=note)
        note(f"{number_of(len(reports), 'report')} of {folder} now in {home} as {', '.join(names)}")
        return combined_and_fitted(wanted, home, everywhere=any_placement)
