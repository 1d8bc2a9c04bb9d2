"""What `measure-accuracy --finals` does with its options: hold the finals of a search."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repvit_nas.commands.answer import Answer
from repvit_nas.commands.arguments import repeated
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.training_options import asked_data, asked_recipe

if TYPE_CHECKING:
    from repvit_nas.campaign.finals import Finals


def held_finals(run: Path, given: Mapping[str, Any]) -> Answer["Finals"]:
    """Hold the finals of a search, and answer whether its winner leads."""
    from repvit_nas.campaign.finals import FinalsWishes, hold_finals
    from repvit_nas.named import load_architecture
    from repvit_nas.training.place import Place, find_precision

    wishes = FinalsWishes(
        data=asked_data(given),
        recipe=asked_recipe(given["recipe"], given),
        seeds=given["seeds"],
        winners=given["winners"],
        references=tuple(load_architecture(each) for each in given["references"]),
        precision=find_precision(given["amp"], given["on"]),
    )
    with progress_bar() as progress:
        found = hold_finals(
            run,
            wishes,
            Path(given["out"]) if given["out"] else run / "finals",
            Place(given["on"], given["workers"]),
            foreign=given["foreign"],
            command=repeated(),
            say=note,
            progress=progress,
        )
    return Answer(found, _show)


def _show(found: "Finals") -> None:
    from repvit_nas.report.accuracy import finals_parts

    show(*finals_parts(found))
