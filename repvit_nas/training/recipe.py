"""How a network is trained: the recipe, a typed record that a TOML file or the user fills in."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import RepvitNasError, UnknownNameError

NONE: Final = "none"
# The most aspect of a random crop.
_MOST_RATIO: Final = 1e4


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides how a network learns from its images.

    Attributes:
        about: What the recipe is for, in one line.
        epochs: Passes over the images.
        batch: Images in one step of one process.
        accumulate: Steps that are added up to one update of the weights.
        optimizer: timm's name of it.
        lr: Learning rate at `lr_batch` images in one update; it grows in proportion to them.
        lr_batch: See `lr`.
        weight_decay: Of weights with more than one dimension; biases and norms have none.
        eps: The optimizer's.
        scheduler: timm's name of the schedule.
        warmup_epochs: Epochs in which the learning rate rises from `warmup_lr`.
        warmup_lr: Where it starts, whatever the batch.
        min_lr: Where it ends, whatever the batch.
        step_on: Whether the schedule goes on with each epoch or with each update.
        clip_mode: How gradients are clipped.
        clip: The factor or norm that they are clipped to.
        smoothing: Of the labels.
        mixup: Alpha of mixup, 0 for none.
        cutmix: Alpha of CutMix, 0 for none.
        mixup_prob: Share of the batches that are mixed.
        mixup_switch: Share of those that CutMix mixes, where both are on.
        augment: timm's name of an augmentation policy, or `none`.
        color_jitter: Where there is no policy.
        scale: Least and most area of a random crop, as a share of the image.
        ratio: Least and most aspect of a random crop.
        hflip: Share of images that are mirrored, where the data allow it.
        erasing: Share of images of which a random rectangle is erased.
        interpolation: How images are resized.
        crop: Share of the image's side that is kept to validate.
        repeats: Copies of an image in one epoch, each augmented in another way, of which a share is
            taken so that the epoch is not longer; 1 for none.
        distillation: Whether a second head learns from a teacher, and from its choice or its
            probabilities.
        teacher: timm's name of the teacher, or a trained run's folder.
        alpha: Share of the teacher in the loss.
        temperature: Of the teacher's probabilities.
        ema: Decay of the moving average of the weights, 0 for none.
        ema_warmup: Let the average follow faster at first.
        weights: Whether the trained weights or their average are the network.
        branches: Whether the depthwise convolutions of blocks are trained as three branches, or as one;
            fused, they are the same.
        keep: Whether the last epoch is the network, or the best on the validation images.
        validate_every: Epochs from one look at the validation images to the next; the last epoch
            is always looked at.
    """

    schema: Literal[1] = 1
    about: str = ""
    epochs: int
    batch: int = 256
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 1e-3
    lr_batch: int = 512
    weight_decay: float = 0.025
    eps: float = 1e-8
    scheduler: Literal["cosine", "tanh", "poly"] = "cosine"
    warmup_epochs: int = 0
    warmup_lr: float = 1e-6
    min_lr: float = 1e-5
    step_on: Literal["epoch", "update"] = "update"
    clip_mode: Literal["agc", "norm", "value", "none"] = "agc"
    clip: float = 0.02
    smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    mixup_prob: float = 1.0
    mixup_switch: float = 0.5
    augment: str = "rand-m9-mstd0.5-inc1"
    color_jitter: float = 0.4
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 4 / 3)
    hflip: float = 0.5
    erasing: float = 0.25
    interpolation: str = "bicubic"
    crop: float = 0.875
    repeats: int = 1
    distillation: Literal["hard", "soft", "none"] = "none"
    teacher: str = NONE
    alpha: float = 0.5
    temperature: float = 1.0
    ema: float = 0.99996
    ema_warmup: bool = False
    weights: Literal["raw", "ema"] = "raw"
    branches: bool = True
    keep: Literal["last", "best"] = "last"
    validate_every: int = 1

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        _within("epochs", self.epochs, 1, 100_000)
        _within("batch", self.batch, 1, 1_000_000)
        _within("accumulate", self.accumulate, 1, 100_000)
        _within("repeats", self.repeats, 1, 100)
        _within("lr_batch", self.lr_batch, 1, 1_000_000)
        _within("warmup_epochs", self.warmup_epochs, 0, self.epochs)
        _within("validate_every", self.validate_every, 1, 100_000)
        for name in ("lr", "eps", "temperature"):
            _within(name, getattr(self, name), 1e-12, 1e4)
        for name in (
            "weight_decay",
            "warmup_lr",
            "min_lr",
            "clip",
            "mixup",
            "cutmix",
            "color_jitter",
        ):
            _within(name, getattr(self, name), 0, 1e4)
        for name in (
            *("smoothing", "mixup_prob", "mixup_switch", "hflip", "erasing", "alpha", "ema"),
        ):
            _within(name, getattr(self, name), 0, 1)
        _within("crop", self.crop, 0.1, 1)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must rise within 0 and 1; got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1] <= _MOST_RATIO:
            raise ValueError(f"ratio must rise within 0 and {_MOST_RATIO:g}; got {self.ratio}")
        if self.mixed and self.batch % 2:
            raise ValueError(f"batch must be even where mixup or cutmix is on; got {self.batch}")
        if self.weights == "ema" and not self.ema:
            raise ValueError("weights must be 'raw' where ema is 0; got 'ema'")
        if self.distillation != NONE and self.teacher == NONE:
            raise ValueError(
                "distillation needs a teacher: give --teacher NAME or --set distillation=none; "
                "got none"
            )

    @property
    def mixed(self) -> bool:
        """Whether images of a batch are mixed."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mixup_prob > 0

    def total_batch(self, processes: int) -> int:
        """Return the images in one update of the weights."""
        return self.batch * self.accumulate * processes

    def scaled_lr(self, processes: int) -> float:
        """Return the learning rate for `processes`: in proportion to the images in one update."""
        return self.lr * self.total_batch(processes) / self.lr_batch


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # a nan lands here too
        raise ValueError(f"{name} must be {low:g} to {high:g}; got {value}")


def recipes() -> list[str]:
    """List the recipes that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def _folder() -> Path:
    return Path(str(resources.files("repvit_nas.training"))) / "recipes"


def load_recipe(name: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe and change some of its values.

    Args:
        name: One of :func:`recipes`, or a TOML file.
        changes: New values by field; text is read as what the field is.

    Raises:
        UnknownNameError: There is no such recipe, field or optimizer.
        RepvitNasError: A value is not as the field asks.
    """
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in recipes():
        raise UnknownNameError.of("recipe", name, recipes())
    recipe = files.read_toml(path, Recipe)
    asked = dict(changes or {})
    epochs = str(asked.get("epochs", ""))
    if epochs.isdigit() and "warmup_epochs" not in asked:  # a short training warms up in its time
        asked["warmup_epochs"] = min(recipe.warmup_epochs, int(epochs))
    recipe = changed(recipe, asked)
    _check_names(recipe)
    _refuse_idle(recipe, changes or {})
    return recipe


def _refuse_idle(recipe: Recipe, changes: Mapping[str, object]) -> None:
    """Refuse a change that means nothing beside the other values."""
    taught = recipe.distillation != NONE
    rules = {
        "teacher": (taught or recipe.teacher == NONE, "distillation is none"),
        "alpha": (taught, "distillation is none"),
        "temperature": (recipe.distillation == "soft", "distillation is not soft"),
        "clip": (recipe.clip_mode != NONE, "clip_mode is none"),
        "mixup_prob": (recipe.mixup > 0 or recipe.cutmix > 0, "mixup and cutmix are 0"),
        "mixup_switch": (recipe.mixup > 0 and recipe.cutmix > 0, "mixup or cutmix is 0"),
        "ema_warmup": (recipe.ema > 0, "ema is 0"),
        "warmup_lr": (recipe.warmup_epochs > 0, "warmup_epochs is 0"),
    }
    for field in changes:
        means, why = rules.get(field, (True, ""))
        if not means:
            raise RepvitNasError(f"recipe: {field} means nothing where {why}; leave it out")


def _check_names(recipe: Recipe) -> None:
    """Ask timm whether it knows what a recipe names."""
    from timm.data.transforms_factory import create_transform
    from timm.optim import list_optimizers  # type: ignore[attr-defined]

    known = [str(name) for name in list_optimizers()]
    if recipe.optimizer.lower() not in known:
        raise UnknownNameError.of("optimizer", recipe.optimizer, known)
    augment = None if recipe.augment == NONE else recipe.augment
    try:
        create_transform(
            32, is_training=True, auto_augment=augment, interpolation=recipe.interpolation
        )
    except KeyError as error:
        raise RepvitNasError(
            "recipe: interpolation must be bilinear, bicubic, nearest, lanczos or random; "
            f"got {recipe.interpolation!r}"
        ) from error
    except (AssertionError, ValueError, IndexError) as error:
        raise RepvitNasError(
            "recipe: augment must be none or a policy of timm such as rand-m9-mstd0.5-inc1, "
            f"augmix-m5-w4-d2 or 3a; got {recipe.augment!r}"
        ) from error


def changed(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return `recipe` with other values in some fields; see :func:`load_recipe`."""
    known = [field for field in recipe.__struct_fields__ if field != "schema"]
    document = msgspec.to_builtins(recipe)
    for field, value in changes.items():
        if field not in known:
            raise UnknownNameError.of("value of a recipe", field, known)
        document[field] = value
    try:
        return msgspec.convert(document, Recipe, strict=False)
    except msgspec.ValidationError as error:
        match = re.match(r"(?P<rule>.*?)(?: - at `\$\.?(?P<at>.*)`)?$", str(error), re.DOTALL)
        rule, at = (match["rule"], match["at"]) if match else (str(error), None)
        arrived = f"; got {document.get(at.partition('[')[0])!r}" if at else ""
        raise RepvitNasError(f"recipe: {f'{at}: ' if at else ''}{rule}{arrived}") from error


def parse_changes(texts: tuple[str, ...]) -> dict[str, object]:
    """Return the fields and values of `field=value` texts; lists are given as `0.1,1.0`.

    Raises:
        RepvitNasError: A text has no equals sign.
    """
    changes: dict[str, object] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals:
            raise RepvitNasError(f"--set must look like lr=0.002; got {text!r}")
        value = value.strip().removeprefix("[").removesuffix("]")  # as TOML writes lists
        parts = [part.strip() for part in value.split(",")]
        changes[field.strip()] = parts if len(parts) > 1 else value
    return changes
