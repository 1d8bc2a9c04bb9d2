import math

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.recipe import load_recipe, parse_changes, recipes


def test_the_recipes_are_there_and_valid():
    assert recipes() == [
        "finetune",
        "imagenet-300e",
        "imagenet-450e",
        "match",
        "proxy",
        "quick",
        "small",
    ]
    for name in recipes():
        assert load_recipe(name).about


def test_the_long_recipe_is_the_short_one_with_more_epochs():
    long, short = load_recipe("imagenet-450e"), load_recipe("imagenet-300e")

    assert (long.epochs, short.epochs) == (450, 300)
    for field in set(short.__struct_fields__) - {"epochs", "about"}:
        assert getattr(long, field) == getattr(short, field)


def test_imagenet_is_trained_as_repvit_was():
    """The official command's values: THU-MIG/RepViT main.py at 298f420."""
    recipe = load_recipe("imagenet-300e")

    assert recipe.scaled_lr(8) == pytest.approx(4e-3)  # 8 devices, 256 images each
    assert (recipe.weight_decay, recipe.min_lr, recipe.warmup_epochs) == (0.025, 1e-5, 5)
    assert (recipe.clip_mode, recipe.clip) == ("agc", 0.02)
    assert (recipe.mixup, recipe.cutmix, recipe.smoothing) == (0.8, 1.0, 0.1)
    assert (recipe.augment, recipe.erasing, recipe.repeats) == ("rand-m9-mstd0.5-inc1", 0.25, 3)
    assert (recipe.distillation, recipe.teacher) == ("hard", "regnety_160.deit_in1k")
    assert (recipe.alpha, recipe.ema) == (0.5, 0.99996)


def test_one_device_trains_as_eight_do():
    """Eight devices of 256 images, and one of 256 that adds up eight steps."""
    one = load_recipe("imagenet-300e", {"accumulate": 8})

    assert one.total_batch(1) == load_recipe("imagenet-300e").total_batch(8) == 2048
    assert one.scaled_lr(1) == load_recipe("imagenet-300e").scaled_lr(8)
    assert load_recipe("imagenet-300e").scaled_lr(1) == pytest.approx(5e-4)


@pytest.mark.parametrize("written", ["0.5,0.9", "[0.5, 0.9]"])
def test_values_are_changed_from_text(written):
    changes = parse_changes(("lr=2e-3", "epochs=7", f"scale={written}", "ema=0.9", "ema_warmup=1"))
    recipe = load_recipe("quick", changes)

    assert (recipe.lr, recipe.epochs, recipe.scale) == (2e-3, 7, (0.5, 0.9))
    assert recipe.ema_warmup is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1}, "value of a recipe 'learning_rate' is not known; known: .*lr"),
        ({"lr": "fast"}, r"lr: Expected `float`, got `str`; got 'fast'"),
        ({"lr": math.nan}, "lr must be"),
        ({"epochs": 0}, "epochs must be 1 to 100000; got 0"),
        ({"mixup": 0.5, "batch": 7}, "batch must be even"),
        ({"weights": "ema"}, "weights must be 'raw' where ema is 0"),
        ({"distillation": "hard"}, "distillation needs a teacher"),
        ({"scale": [0.9, 0.5]}, "scale must rise"),
        ({"ratio": [1.0, 0.1]}, "ratio must rise"),
        ({"optimizer": "sgdd"}, "optimizer 'sgdd' is not known; did you mean|known: .*sgd"),
        ({"scheduler": "plateau"}, "scheduler: .*; got 'plateau'"),
        ({"augment": "banana"}, "augment must be none or a policy of timm"),
        ({"interpolation": "banana"}, "interpolation must be bilinear"),
        ({"clip_mode": "hard"}, "clip_mode: .*agc|clip_mode: Invalid"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(changes, message):
    with pytest.raises(RepvitNasError, match=message):
        load_recipe("quick", changes)


def test_a_short_training_warms_up_in_its_time():
    assert load_recipe("finetune").warmup_epochs == 3
    assert load_recipe("finetune", {"epochs": 2}).warmup_epochs == 2
    assert load_recipe("finetune", {"epochs": "9"}).warmup_epochs == 3
    with pytest.raises(RepvitNasError, match="warmup_epochs must be 0 to 2; got 3"):
        load_recipe("finetune", {"epochs": 2, "warmup_epochs": 3})


def test_a_recipe_of_the_user_is_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("schema = 1\nepochs = 3\n")

    assert load_recipe(str(path)).epochs == 3
    with pytest.raises(RepvitNasError, match="recipe 'fast' is not known; known: finetune"):
        load_recipe("fast")
    with pytest.raises(RepvitNasError, match="must look like"):
        parse_changes(("lr",))
