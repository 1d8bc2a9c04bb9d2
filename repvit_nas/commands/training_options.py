"""Options of the commands that train: images, recipe, and on what; and what they ask for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.completion import complete_recipe
from repvit_nas.commands.options import Decorator, grouped, threads_option
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.training.recipe import Recipe
    from repvit_nas.training.spec import DataSpec

data_options: Decorator = grouped(
    click.option(
        "--data",
        required=True,
        metavar="digits|shapes|FOLDER|NAME",
        help="The images: in the box, a folder with train/ and val/, or timm's hfds/, wds/, torch/.",
    ),
    click.option("--data-root", default="", help="Where timm keeps a data set it knows by name."),
    click.option(
        "--train-images", type=click.IntRange(min=1), help="How many images of shapes to train on."
    ),
    click.option(
        "--val-images", type=click.IntRange(min=1), help="How many images of shapes to validate on."
    ),
    click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read."),
)


nproc_option: Decorator = click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that train one network together, each on a GPU of its own.",
)


def recipe_options(usual: str) -> Decorator:
    """Return the options that say how to train.

    Args:
        usual: Which recipe is taken where none is named, for the help.
    """
    return grouped(
        click.option(
            "--recipe",
            metavar="NAME|FILE",
            help=f"How to train. [{usual}]",
            shell_complete=complete_recipe,
        ),
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="FIELD=VALUE",
            help="Change the recipe: lr=0.002, scale=0.8,1.0.",
        ),
        click.option("--epochs", type=int, help="Passes over the images."),
    )


def place_options(device: str) -> Decorator:
    """Return the options that say on what to train; that of the device is called `device`."""
    return grouped(
        click.option(device, default="auto", metavar="auto|cpu|cuda|mps", help="Where to train."),
        click.option("--amp", default="auto", metavar="auto|bf16|fp16|off", help="Half precision."),
        click.option("--workers", type=click.IntRange(min=0), help="Processes that read images."),
        threads_option,
    )


def asked_data(given: Mapping[str, Any], **own: Any) -> "DataSpec":
    """Return the images that the options ask for; `own` is what a command alone can say of them."""
    from repvit_nas.training.spec import DataSpec

    return DataSpec(
        name=given["data"],
        root=given["data_root"],
        train_images=given["train_images"],
        val_images=given["val_images"],
        skip_bad_images=given["skip_bad_images"],
        **own,
    )


def asked_recipe(name: str, given: Mapping[str, Any], *own: str) -> "Recipe":
    """Return a recipe with the values that the options give.

    Args:
        name: The recipe.
        given: The options.
        own: Names of a command's own options that are values of a recipe under that name.

    Raises:
        RepvitNasError: There is no such recipe, or a value is none for it or is given twice.
    """
    from repvit_nas.training.recipe import NONE, load_recipe, parse_changes

    changes = {field: given[field] for field in ("epochs", *own) if given[field] is not None}
    more = parse_changes(given["changes"])
    twice = sorted(changes.keys() & more.keys())
    if twice:
        raise RepvitNasError(f"{twice[0]} is given twice, the second time by --set; give it once")
    if "teacher" in changes:
        changes["distillation"] = NONE if changes["teacher"] == NONE else "hard"
    return load_recipe(name, changes | more)
