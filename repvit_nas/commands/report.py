"""`repvit-nas report`: an interactive page of searches, predictors and trainings."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note
from repvit_nas.commands.options import debug_option
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.report.panels import FrontPanel, Panel, TrainingPanel


@click.command("report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    help="The page.",
)
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
@answers
@debug_option
def command(runs: tuple[str, ...], out: Path, *, overwrite: bool) -> Answer[dict[str, Any]]:
    r"""Write one page that shows RUNs: open it in a browser, no network is needed.

    A RUN is the folder of a search, of a training run, or a device's folder under predictors/. Several
    searches are laid over each other; they must be of one kind of accuracy and one resolution.

    \b
    Example: repvit-nas report results/iphone12-1.0ms predictors/iphone12 --out report.html
    """
    from repvit_nas import files
    from repvit_nas.report.page import page

    if out.exists() and not overwrite:
        raise RepvitNasError(f"{out}: exists already; give --overwrite, or another --out")
    panels = [_panel(name) for name in runs]
    content = page(panels)
    files.write_bytes(out, content)
    return Answer({"page": str(out), "bytes": len(content), "runs": list(runs)}, _show)


def _show(written: dict[str, Any]) -> None:
    note(f"{written['page']}: {written['bytes'] / 1e6:.1f} MB; open it in a browser")


def _panel(name: str) -> "Panel":
    """Return what a folder holds, by the files in it."""
    from repvit_nas import data, files
    from repvit_nas.predictors.validation import VALIDATION_FILE, read_validation
    from repvit_nas.report.panels import validation_panel
    from repvit_nas.searching.records import RUN_FILE
    from repvit_nas.training.records import is_training_run

    folder = Path(name)
    if not folder.is_dir():
        shipped = data.listed(folder.parent.name or "results").get(folder.name)
        folder = folder if shipped is None else shipped.path
    if (folder / RUN_FILE).is_file():
        return _front(name, folder)
    if is_training_run(folder):
        return _training(name, folder)
    if (folder / VALIDATION_FILE).is_file():
        return validation_panel(
            folder.name,
            read_validation(files.inside(folder, folder / VALIDATION_FILE), folder.resolve().name),
        )
    raise RepvitNasError(
        f"{name}: holds no run: give the folder of a search (with {RUN_FILE}), of a training run, or of a "
        f"predictor (with {VALIDATION_FILE})"
    )


def _front(name: str, folder: Path) -> "FrontPanel":
    from repvit_nas.predictors.breakdown import breakdown
    from repvit_nas.report.panels import front_panel
    from repvit_nas.report.run_report import families_of
    from repvit_nas.search_space.peers import peers
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.records import read_finished
    from repvit_nas.searching.run import Finding

    run, result, _ = read_finished(folder)
    if not result.front:
        raise RepvitNasError(f"{name}: has no network on its front, so there is nothing to show")
    networks = [entry.architecture for entry in result.front]
    inputs = load_inputs(run.settings, foreign=True)
    first = networks[0]
    return front_panel(
        name,
        result,
        run,
        costs={one.device: breakdown(networks, one) for one in inputs.predictors},
        family=families_of(Finding(inputs, result, run)),
        peers=peers() if (first.resolution, first.num_classes) == (224, 1000) else (),
    )


def _training(name: str, folder: Path) -> "TrainingPanel":
    from repvit_nas import files
    from repvit_nas.checking.records import CHECK_FILE, CheckRecord
    from repvit_nas.report.panels import training_panel
    from repvit_nas.training.records import LOG_FILE, EpochRow, read_training

    log = files.inside(folder, folder / LOG_FILE)
    check = files.inside(folder, folder / CHECK_FILE)
    return training_panel(
        name,
        read_training(folder),
        files.read_csv(log, EpochRow) if log.is_file() else (),
        files.read_json(check, CheckRecord) if check.is_file() else None,
    )
