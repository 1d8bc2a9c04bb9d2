"""Learning a teacher's map: the loss over what is not padded, and the loop that it is learned in."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import torch
from timm.task.task import TrainingTask
from torch import nn

from repvit_nas.architecture import SAM_STEP
from repvit_nas.errors import RepvitNasError
from repvit_nas.necks import FusedNeck, Neck
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.data import Opened
from repvit_nas.training.embeddings import Embeddings, TargetOf, unkept
from repvit_nas.training.evaluation import Evaluation, How, laid_out
from repvit_nas.training.loading import Batches
from repvit_nas.training.pictures import (
    inside,
    picture_batches,
    pictures_digest,
    validation_batches,
)
from repvit_nas.training.recipe import Recipe, load_recipe
from repvit_nas.training.records import Asked, Matching, MatchOutcome, MatchRow
from repvit_nas.training.start import started_network
from repvit_nas.training.teacher import check_map, load_map_teacher
from repvit_nas.training.trainer import Trainer
from repvit_nas.units import Network, rows
from repvit_nas.words import Say

# What of a recipe changes pictures, labels or losses of classes.
_PLAIN: Final = (
    *("smoothing", "mixup", "cutmix", "augment", "color_jitter", "scale", "ratio", "hflip"),
    *("erasing", "crop", "repeats", "distillation"),
)


class MapScores(NamedTuple):
    """How near a network's maps are to the teacher's: the loss, and what it is made of."""

    loss: float
    mse: float
    cosine: float


class MapPair(NamedTuple):
    """A network's maps and the teacher's of the same pictures, `(images, channels, height, height)` both."""

    found: torch.Tensor
    wanted: torch.Tensor


class MapErrors(NamedTuple):
    """How far each map is from the wanted one, over what is not padded, `(images,)` each.

    Attributes:
        mse: Mean squared error of an element.
        cosine: Mean cosine similarity of the channels of a pixel.
    """

    mse: torch.Tensor
    cosine: torch.Tensor


def map_errors(
    found: torch.Tensor, wanted: torch.Tensor, places: torch.Tensor, side: int
) -> MapErrors:
    """Compare maps over the pixels that lie within their pictures.

    Args:
        found: A network's maps, `(images, channels, height, height)`.
        wanted: The teacher's.
        places: Place, height and width of each picture, `(images, 3)`.
        side: Of the squares that heights and widths are in.
    """
    counts = inside(places, found.shape[-1], side).to(found.dtype)
    pixels = counts.sum((1, 2, 3))
    squares = ((found - wanted).square().mean(1, keepdim=True) * counts).sum((1, 2, 3)) / pixels
    alike = nn.functional.cosine_similarity(found, wanted, dim=1)[:, None]
    return MapErrors(squares, (alike * counts).sum((1, 2, 3)) / pixels)


class MatchTask(TrainingTask):
    """The loss of a network's maps against a teacher's.

    Args:
        model: The network.
        target_of: Gives the teacher's maps.
        cosine: How much one less the cosine similarity counts beside the mean squared error.
        device: Where it is computed.
    """

    def __init__(
        self, model: nn.Module, target_of: TargetOf, cosine: float, device: torch.device
    ) -> None:
        super().__init__(device=device, verbose=False)
        self.trainable_module = model
        self.target_of = target_of
        self.cosine = cosine

    def prepare_distributed(self, device_ids: list[Any] | None = None, **more: Any) -> "MatchTask":
        """Let the processes of a training share their gradients."""
        from torch.nn.parallel import DistributedDataParallel

        self.trainable_module = DistributedDataParallel(
            self.trainable_module, device_ids=device_ids, **more
        )
        return self

    def compile(  # type: ignore[override]  # as all of timm's tasks
        self, backend: str = "inductor", mode: str | None = None, **more: Any
    ) -> nn.Module:
        """Let torch compile the network."""
        compiled = torch.compile(self.trainable_module, backend=backend, mode=mode, **more)
        self.trainable_module = self.eval_model = cast("nn.Module", compiled)
        return self.trainable_module

    def maps(self, model: nn.Module, images: torch.Tensor, places: torch.Tensor) -> MapPair:
        """Return a network's maps and the teacher's; what is padded of a picture is nothing to both."""
        side = images.shape[-1]
        images = images * inside(places, side, side)
        with torch.no_grad():
            wanted = self.target_of(images, places)
        return MapPair(model(images).float(), wanted)

    def errors(self, model: nn.Module, images: torch.Tensor, places: torch.Tensor) -> MapErrors:
        """Return how far a network's maps are from the teacher's; what is padded does not count."""
        return map_errors(*self.maps(model, images, places), places, images.shape[-1])

    def loss(self, errors: MapErrors) -> torch.Tensor:
        """Return the loss of each image, `(images,)`."""
        return errors.mse + self.cosine * (1 - errors.cosine)

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:  # noqa: A002  # timm's name
        """Return the loss of a batch of pictures with their places."""
        return {"loss": self.loss(self.errors(self.trainable_module, input, target)).mean()}


@torch.inference_mode()
def evaluate_maps(model: nn.Module, loader: Any, task: MatchTask, how: How) -> Evaluation:
    """Return how near `model` comes on the pictures of `loader`; it is left in evaluation mode."""
    model.eval()

    def errors() -> Iterator[MapErrors]:
        for images, places in loader:
            with how.autocast():
                found = task.errors(model, laid_out(images, how), places)
            yield found

    return Evaluation(map_scores(errors(), task, how), torch.empty(0))


def map_scores(errors: Iterable[MapErrors], task: MatchTask, how: How) -> MapScores:
    """Return how near maps are by the errors of each batch, those of other processes among them."""
    kind = torch.float32 if how.device.type == "mps" else torch.float64
    sums = torch.zeros(4, dtype=kind, device=how.device)
    for each in errors:
        own = task.loss(each)
        parts = (own.sum(), each.mse.sum(), each.cosine.sum())
        sums += torch.stack([*parts, torch.tensor(float(len(own)), device=how.device)]).to(kind)
    if how.world.processes > 1:
        torch.distributed.all_reduce(sums)
    loss, mse, cosine = (float(each / sums[3]) for each in sums[:3])
    # Rounding may leave a similarity of equal maps above 1.
    return MapScores(loss, mse, min(1.0, max(-1.0, cosine)))


class MatchTrainer(Trainer):
    """A network that learns a teacher's map, in the loop that classifiers are trained in.

    Args:
        model: The network, in training form; it is trained in place.
        recipe: How it learns.
        batches: What it learns from.
        val: What it is validated on.
        target_of: Gives the teacher's maps.
        cosine: How much one less the cosine similarity counts beside the mean squared error.
        how: How that is computed.
        checkpoints: Where it can go on from.
    """

    row_type = MatchRow
    scores_type = MapScores

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        batches: Batches,
        val: Any,
        *,
        target_of: TargetOf,
        cosine: float,
        how: How,
        checkpoints: Checkpoints,
    ) -> None:
        self._target_of = target_of
        self._cosine = cosine
        super().__init__(model, recipe, batches, val, how=how, checkpoints=checkpoints)

    def _new_task(self) -> MatchTask:
        return MatchTask(self.model, self._target_of, self._cosine, self.how.device)

    def _evaluated(self, network: nn.Module) -> Evaluation:
        return evaluate_maps(network, self.val, self.task, self.how)

    def _columns(self, scores: Any, averaged: Any) -> dict[str, Any]:
        own = cast("MapScores", scores)._asdict()
        return own | {"ema_loss": None if averaged is None else averaged.loss}

    def _is_better(self, scores: Any) -> bool:
        return bool(scores.loss < self.best.loss)

    def outcome(self, val_images: int) -> MatchOutcome:
        """Return how near the best epoch came, on so many validation pictures."""
        return MatchOutcome(
            epoch=self.best_epoch,
            updates=self.updates,
            loss=self.best.loss,
            mse=self.best.mse,
            cosine=self.best.cosine,
            val_images=val_images,
            seconds=round(self.seconds, 1),
        )


def match_trainer(
    asked: Asked,
    matching: Matching,
    images: Opened,
    cache: Path,
    *,
    workers: int,
    how: How,
    checkpoints: Checkpoints,
    say: Say,
) -> MatchTrainer:
    """Return the trainer of a network that learns a teacher's map.

    Args:
        asked: What the run is asked.
        matching: What of it concerns the map.
        images: The pictures.
        cache: Where the teacher's maps are kept, if they are.
        workers: Processes that read pictures.
        how: How the run is computed.
        checkpoints: Where it can go on from.
        say: Told what the user should know.

    Raises:
        RepvitNasError: The teacher, its map or the recipe cannot be used, or there is no room for maps.
    """
    refuse_augmentation(asked.recipe)
    side, shape = asked.architecture.resolution, map_shape(asked.architecture)
    teacher = load_map_teacher(matching.teacher, how.device)
    check_map(teacher, shape, side)
    target_of = unkept(teacher.maps)
    if matching.kept:
        pictures = len(images.train) + len(images.val)
        kept = Embeddings(teacher, cache, pictures, shape, pictures_digest(images, side))
        say(kept.said())
        target_of = kept
    batches = picture_batches(
        images.train,
        asked.recipe,
        seed=asked.seed,
        world=how.world,
        device=how.device,
        workers=workers,
    )
    val = validation_batches(
        images.val, asked.recipe.batch, world=how.world, device=how.device, workers=workers
    )
    unpadded = getattr(images.train, "images", images.train)
    return MatchTrainer(
        started_network(asked, unpadded, checkpoints, flip=False, say=say),
        asked.recipe,
        batches,
        val,
        target_of=target_of,
        cosine=matching.cosine,
        how=how,
        checkpoints=checkpoints,
    )


def map_shape(architecture: Network) -> tuple[int, int, int]:
    """Return channels, height and width of the one map that a network hands back.

    Raises:
        RepvitNasError: It hands back something else.
    """
    if architecture.output not in SAM_STEP:
        raise RepvitNasError(
            f"{architecture.name or 'the network'} hands back {architecture.output}; a map is matched by "
            f"one with output {' or '.join(SAM_STEP)}"
        )
    end = rows(architecture)[-1]
    if not isinstance(end, Neck | FusedNeck):
        raise TypeError(f"{type(end).__name__} is no neck")
    return (end.channels, end.size, end.size)


def refuse_augmentation(recipe: Recipe) -> None:
    """Refuse a recipe that changes pictures or labels: maps are those of pictures as they are.

    Raises:
        RepvitNasError: It does; the message names the first value.
    """
    plain = load_recipe("match")
    for field in _PLAIN:
        if getattr(recipe, field) != getattr(plain, field):
            raise RepvitNasError(
                f"recipe: {field} means nothing where a map is matched; take --recipe match, or set it "
                f"to {getattr(plain, field)}"
            )


def match_text(row: MatchRow, epochs: int) -> str:
    """Return an epoch in one line."""
    averaged = "" if row.ema_loss is None else f" ({row.ema_loss:.4g} averaged)"
    speed = "" if row.images_per_s is None else f", {row.images_per_s:,.1f} images/s"
    return (
        f"epoch {row.epoch}/{epochs}: training loss {row.train_loss:.4g}, validation loss "
        f"{row.loss:.4g}{averaged}: squared error {row.mse:.4g}, cosine {row.cosine:.4f}{speed}"
    )
