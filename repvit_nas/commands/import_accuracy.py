"""`repvit-nas import-accuracy`: accuracies of trainings made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import tell
from repvit_nas.commands.options import debug_option
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.accuracy.imported import ImportedAccuracies


@click.command("import-accuracy")
@click.argument("file", type=click.Path())
@click.option("--name", required=True, help="The estimator that they are for.")
@click.option("--data", default="", help="The data set, where the file does not say. [NAME's]")
@click.option("--recipe", default="", help="The recipe, where the file does not say. [NAME's]")
@click.option("--space", metavar="FILE", help="A space of their own that networks may be of.")
@answers
@debug_option
def command(
    file: str, *, name: str, data: str, recipe: str, space: str | None
) -> Answer["ImportedAccuracies"]:
    r"""Add accuracies of a CSV or JSON FILE to what is known on a data set by a recipe.

    A row holds top1 in percent and a network: width and depth of its stages (se, expansion, kernel,
    resolution, num_classes), or file, an architecture file, or network, a reference name.

    \b
    Example: repvit-nas import-accuracy trainings.csv --name plants
    """
    from repvit_nas.accuracy.imported import import_accuracies
    from repvit_nas.search_space.space import known_spaces, load_space

    spaces = [load_space(each)[0] for each in [*known_spaces(), *([space] if space else [])]]
    imported = import_accuracies(Path(file), name, spaces, data=data, recipe=recipe)
    return Answer(imported, _show, _document)


def _show(imported: "ImportedAccuracies") -> None:
    again = imported.rows - imported.added
    tell(
        f"{number_of(imported.added, 'observation')} added to {imported.folder}"
        + (f" ({again} were there already)" if again else "")
    )
    if imported.networks is None:
        tell(imported.unfitted)
    else:
        fitted = number_of(imported.networks, "network")
        tell(f"fitted to {fitted}; search --accuracy {imported.name} takes it")


def _document(imported: "ImportedAccuracies") -> object:
    document = imported._asdict() | {"folder": str(imported.folder)}
    del document["unfitted"]
    return document
