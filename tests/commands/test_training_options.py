"""What the options of trainings ask for."""

import click
import pytest

from repvit_nas.commands.training_options import (
    asked_data,
    asked_recipe,
    data_options,
    place_options,
    recipe_options,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.recipe import load_recipe


def given(*words):
    @click.command()
    @data_options
    @recipe_options("quick")
    @click.option("--teacher")
    @place_options("--on")
    def command(**options):
        return options

    return command.main(["--data", "shapes", *words], standalone_mode=False)


def test_a_recipe_has_the_values_that_options_give():
    plain = load_recipe("quick")

    recipe = asked_recipe("quick", given("--epochs", "7", "--set", "lr=0.5"))

    assert (recipe.epochs, recipe.lr) == (7, 0.5)
    assert recipe.weight_decay == plain.weight_decay
    assert asked_recipe("quick", given()) == plain


def test_a_teacher_teaches_and_none_does_not():
    found = asked_recipe("quick", given("--teacher", "regnety_160"), "teacher")

    assert (found.teacher, found.distillation) == ("regnety_160", "hard")
    assert asked_recipe("quick", given("--teacher", "none"), "teacher").distillation == "none"


def test_a_value_that_is_given_twice_is_refused():
    with pytest.raises(RepvitNasError, match="epochs is given twice, the second time by --set"):
        asked_recipe("quick", given("--epochs", "7", "--set", "epochs=8"))


def test_images_are_as_the_options_say():
    spec = asked_data(given("--train-images", "9", "--skip-bad-images"), train_split="part")

    assert (spec.name, spec.train_images, spec.val_images) == ("shapes", 9, None)
    assert spec.skip_bad_images
    assert spec.train_split == "part"
