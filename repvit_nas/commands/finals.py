"""What `measure-accuracy --finals` does with its options: hold the finals of a search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repvit_nas.commands.answer import Answer
from repvit_nas.commands.arguments import repeated
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.several import ToTrain, share
from repvit_nas.commands.stopping import stoppable
from repvit_nas.commands.training_options import asked_data, asked_recipe

if TYPE_CHECKING:
    from repvit_nas.campaign.finals import Finals
    from repvit_nas.campaign.records import TrainingTask
    from repvit_nas.training.data import Opened
    from repvit_nas.training.records import Asked


def held_finals(run: Path, name: str | None, given: Mapping[str, Any]) -> Answer["Finals"]:
    """Hold the finals of a search, and answer whether its winner leads.

    Args:
        run: The search.
        name: What the campaign is called that shares the trainings.
        given: The other options of the command.
    """
    from repvit_nas.campaign.finals import FinalsWishes, hold_finals
    from repvit_nas.campaign.runs import RunsWishes
    from repvit_nas.named import load_architecture
    from repvit_nas.training.place import Place, find_precision
    from repvit_nas.training.torchrun import refuse_processes

    wishes = FinalsWishes(
        data=asked_data(given),
        recipe=asked_recipe(given["recipe"], given),
        seeds=given["seeds"],
        winners=given["winners"],
        references=tuple(load_architecture(each) for each in given["references"]),
        precision=find_precision(given["amp"], given["on"]),
        processes=given["nproc"],
    )
    refuse_processes(wishes.processes, given["on"])
    recipe = Path(given["recipe"]).name.removesuffix(".toml")
    folder, place = Path(given["out"] or run / "finals"), Place(given["on"], given["workers"])
    with progress_bar() as bar, stoppable(bar) as progress:

        def shared(asked: "Asked", tasks: "Sequence[TrainingTask]", opened: "Opened") -> None:
            wished = RunsWishes(name or "", recipe, folder, repeated())
            share(ToTrain(asked, recipe, opened, place, None), tasks, wished, given, progress)

        found = hold_finals(
            run,
            wishes,
            folder,
            place,
            foreign=given["foreign"],
            command=repeated(),
            share=shared,
            say=note,
            progress=progress,
        )
    return Answer(found, _show)


def _show(found: "Finals") -> None:
    from repvit_nas.report.accuracy import finals_parts

    show(*finals_parts(found))
