"""`repvit-nas import-accuracy`: accuracies of trainings made elsewhere."""

from pathlib import Path

import click

from repvit_nas.commands.options import debug_option, echo_json, json_option, tell
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of


@click.command("import-accuracy")
@click.argument("file", type=click.Path())
@click.option("--name", required=True, help="The estimator that they are for.")
@click.option("--data", default="", help="The data set, where the file does not say. [NAME's]")
@click.option("--recipe", default="", help="The recipe, where the file does not say. [NAME's]")
@click.option("--space", metavar="FILE", help="A space of their own that networks may be of.")
@json_option
@debug_option
def command(
    file: str, *, name: str, data: str, recipe: str, space: str | None, as_json: bool
) -> None:
    r"""Add accuracies of a CSV or JSON FILE to what is known on a data set by a recipe.

    A row holds top1 in percent and a network: width and depth of its stages (se, expansion, kernel,
    resolution, num_classes), or file, an architecture file, or network, a reference name.

    \b
    Example: repvit-nas import-accuracy trainings.csv --name plants
    """
    from repvit_nas.accuracy import trained
    from repvit_nas.accuracy.importing import observations_of, read_rows
    from repvit_nas.accuracy.observations import Circumstances, ObservationLog, circumstances_of
    from repvit_nas.search_space.space import known_spaces, load_space

    folder = trained.folder_of(name)
    log = ObservationLog(folder)
    known = log.read()
    before = circumstances_of(known) if known else None
    given = Circumstances(
        data=data or (before.data if before else name),
        recipe=recipe or (before.recipe if before else "as imported"),
        data_digest=before.data_digest if before and data in {"", before.data} else "",
        recipe_digest=before.recipe_digest if before and recipe in {"", before.recipe} else "",
    )
    path = Path(file)
    spaces = [load_space(each)[0] for each in [*known_spaces(), *([space] if space else [])]]
    observations = observations_of(read_rows(path), path, given, spaces)
    for observation in observations:
        trained.refuse_second_name(name, observation.circumstances)
    added = log.append(observations)
    everything = log.read()
    networks: int | None = None
    try:
        fitted = trained.fit(name, everything, folder)
        trained.write(folder, fitted)
        networks = fitted.networks
        said = f"fitted to {number_of(networks, 'network')}; search --accuracy {name} takes it"
    except RepvitNasError as error:
        said = str(error)
    if as_json:
        echo_json(
            {
                "name": name,
                "folder": str(folder),
                "rows": len(observations),
                "added": added,
                "observations": len(everything),
                "networks": networks,
            }
        )
        return
    again = len(observations) - added
    tell(
        f"{number_of(added, 'observation')} added to {folder}"
        + (f" ({again} were there already)" if again else "")
    )
    tell(said)
