"""The loop: timm's parts in the order of timm's own training script, to be entered anywhere."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import torch
from timm.data.mixup import Mixup
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.cuda import NativeScaler
from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.batch_norms import RunningStatistics
from repvit_nas.training.checkpoint import Checkpoints, Loaded, load_strictly
from repvit_nas.training.evaluation import Evaluation, How, Scores, evaluate, laid_out
from repvit_nas.training.loading import STEP, Batches, seed_everything
from repvit_nas.training.recipe import NONE, Recipe
from repvit_nas.training.records import EpochRow, MatchOutcome, MatchRow, TrainOutcome
from repvit_nas.training.tasks import new_task
from repvit_nas.words import Progress

# On an accelerator, asking for the loss waits for it: not at every step.
_CHECK_EVERY: Final = 50


class Trainer:
    """A network in training: a classifier, or what a subclass says otherwise.

    Args:
        model: The network, in training form; it is trained in place.
        recipe: How it learns.
        batches: What it learns from.
        val: What it is validated on.
        how: How that is computed.
        checkpoints: Where it can go on from.

    Raises:
        RepvitNasError: The teacher cannot be had.
    """

    row_type: type[EpochRow] | type[MatchRow] = EpochRow
    scores_type: type[Any] = Scores

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        batches: Batches,
        val: Any,
        *,
        how: How,
        checkpoints: Checkpoints,
    ) -> None:
        self.recipe = recipe
        self.batches = batches
        self.val = val
        self.how = how
        self.checkpoints = checkpoints
        layout = torch.channels_last if how.channels_last else torch.contiguous_format
        self.model = model.to(device=how.device, memory_format=layout)  # type: ignore[call-overload]
        self.task = self._new_task()
        if how.channels_last:
            self.task.to(memory_format=torch.channels_last)
        self.optimizer = create_optimizer_v2(
            self.model,
            opt=recipe.optimizer,
            lr=recipe.scaled_lr(how.world.processes),
            weight_decay=recipe.weight_decay,
            eps=recipe.eps,
        )
        self.updates_per_epoch = batches.order.batches // recipe.accumulate
        scheduler, _ = create_scheduler_v2(
            self.optimizer,
            sched=recipe.scheduler,
            num_epochs=recipe.epochs,
            min_lr=min(recipe.min_lr, recipe.scaled_lr(how.world.processes)),
            warmup_lr=recipe.warmup_lr,
            warmup_epochs=recipe.warmup_epochs,
            step_on_epochs=recipe.step_on == "epoch",
            updates_per_epoch=self.updates_per_epoch,
        )
        self.scheduler: Any = scheduler
        self.mixup = _mixup(recipe, cast("Any", model).num_classes)
        self.scaler = _scaler(how.device) if how.precision == "fp16" else None
        if recipe.ema:
            self.task.setup_ema(decay=recipe.ema, use_warmup=recipe.ema_warmup)
        if how.compiled:
            self.task.compile()
        if how.world.processes > 1:
            on_device = how.device.type != "cpu"
            self.task.prepare_distributed(device_ids=[how.device] if on_device else None)
        self.statistics = RunningStatistics(self.model, how.world)
        self.parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.epoch = 0
        self.batch = 0
        self.updates = 0
        self.seconds = 0.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self._sum_device())
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=how.device)
        self.rows: list[Any] = []  # of `row_type`
        self.best: Any = None  # of `scores_type`
        self.best_epoch = 0
        self.best_digest = ""  # of the file that keeps its weights
        self.losses: torch.Tensor | None = None  # of the best epoch, if this process looked at it

    def _sum_device(self) -> torch.device:
        # Apple's devices have no double precision.
        return torch.device("cpu") if self.how.device.type == "mps" else self.how.device

    @property
    def ema_model(self) -> nn.Module | None:
        """The network with the average of the weights, if there is one."""
        holder = self.task.get_trainable_module(ema=True)
        return None if holder is None else cast("nn.Module", holder.module)

    def chosen(self) -> nn.Module:
        """Return the network whose accuracy counts: with the weights, or with their average."""
        averaged = self.ema_model if self.recipe.weights == "ema" else None
        return self.model if averaged is None else averaged

    def fit(self, epoch_done: Callable[["Trainer", bool], None], progress: Progress) -> None:
        """Train to the last epoch, from wherever this trainer is.

        Args:
            epoch_done: Called after each epoch, with whether it is the best so far.
            progress: Told what is being done, how far it is, and of how much.

        Raises:
            RepvitNasError: The loss is no number any more, or an image cannot be read.
            FileError: A checkpoint cannot be written.
        """
        while self.epoch < self.recipe.epochs:
            started, first = time.perf_counter(), self.batch
            self._train_epoch(progress)
            trained = time.perf_counter() - started
            self._refuse_bad_loss()
            self._refuse_bad_weights()
            looked_at = self._looked_at()
            lr = self._end_schedule()
            better = looked_at and self._validate(lr, trained if first == 0 else None)
            self.epoch, self.batch = self.epoch + 1, 0
            self.loss_sum.zero_()
            self.seconds += time.perf_counter() - started
            if looked_at:
                epoch_done(self, better)
            self.save()

    def _looked_at(self) -> bool:
        """Tell whether this epoch ends with a look at the validation images."""
        number = self.epoch + 1
        return number == self.recipe.epochs or number % self.recipe.validate_every == 0

    def _train_epoch(self, progress: Progress) -> None:
        order = self.batches.order
        order.go_to(self.epoch, self.batch)
        self.model.train()
        self.task.train()
        self.optimizer.zero_grad()
        done = f"epoch {self.epoch + 1}/{self.recipe.epochs}"
        try:
            for images, target in self.batches.loader:
                seed_everything(order.key(STEP, self.batch))
                self._step(images, target)
                progress(done, self.batch, order.batches)
        except RepvitNasError as error:
            # From a worker process comes the whole traceback; what counts is its last line.
            message = str(error).strip().rpartition("\n")[2]
            raise RepvitNasError(message.removeprefix(_ERROR_PREFIX)) from error
        # A stream that is split over workers may end before the batches that were counted.
        if self.batch < self.recipe.accumulate:
            raise RepvitNasError(
                f"epoch {self.epoch + 1}: the data set gave no batch of {self.recipe.batch} images; "
                "give a smaller --batch, or fewer --workers than it has files"
            )

    def _step(self, images: torch.Tensor, target: torch.Tensor) -> None:
        """Learn from one batch; update the weights where enough batches are added up."""
        images = laid_out(images, self.how)
        if self.mixup is not None:
            images, target = self.mixup(images, target)
        self.statistics.begin()
        last = (self.batch + 1) % self.recipe.accumulate == 0
        with contextlib.nullcontext() if last else self.task.no_sync():
            with self.how.autocast():
                loss = self.task(images, target)["loss"]
            self._backward(loss / self.recipe.accumulate, last=last)
        self.statistics.share()
        self._watch(loss.detach())
        self.batch += 1
        if not last:
            return
        self.optimizer.zero_grad()
        self.updates += 1
        self.task.update_ema(step=self.updates)
        self.scheduler.step_update(num_updates=self.updates)
        if self.how.device.type == "cpu" or self.updates % _CHECK_EVERY == 0:
            self._refuse_bad_loss()
        every = self.how.save_every
        if every and self.updates % every == 0 and self.batch < self.batches.order.batches:
            self.save()

    def _backward(self, loss: torch.Tensor, *, last: bool) -> None:
        recipe = self.recipe
        clip = None if recipe.clip_mode == NONE else recipe.clip
        if self.scaler is not None:
            self.scaler(
                loss,
                self.optimizer,
                clip_grad=clip,
                clip_mode=recipe.clip_mode,
                parameters=self.parameters,
                need_update=last,
            )
            return
        loss.backward()  # type: ignore[no-untyped-call]
        if last:
            if clip is not None:
                dispatch_clip_grad(self.parameters, clip, mode=recipe.clip_mode)
            self.optimizer.step()

    def _watch(self, loss: torch.Tensor) -> None:
        """Add up the loss, and remember the first step at which it was no number."""
        self.loss_sum += loss.to(self.loss_sum)
        first = (self.bad_step < 0) & ~torch.isfinite(loss)
        step = self._step_number() + 1
        self.bad_step = torch.where(first, step, self.bad_step)

    def _refuse_bad_loss(self) -> None:
        bad = self.bad_step
        if self.how.world.processes > 1:  # every process stops, or none
            bad = bad.clone()
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        step = int(bad)
        if step >= 0:
            raise RepvitNasError(
                f"the loss is no finite number any more at {self._step_text(step)}"
            )

    def _refuse_bad_weights(self) -> None:
        """Refuse weights that the last update, whose loss nobody has seen yet, has spoilt."""
        state = self.model.state_dict()
        finite = torch.stack(
            [value.isfinite().all() for value in state.values() if value.is_floating_point()]
        )
        if not bool(finite.all()):
            raise RepvitNasError(
                "the weights are no finite numbers any more after "
                f"{self._step_text(self._step_number())}"
            )

    def _step_number(self) -> int:
        return self.epoch * self.batches.order.batches + self.batch

    def _step_text(self, step: int) -> str:
        epoch = (step - 1) // self.batches.order.batches + 1
        return (
            f"step {step:,} (epoch {epoch}): {self.checkpoints.last_text()}; try a lower learning "
            "rate (--lr), or --amp off"
        )

    def _end_schedule(self) -> float:
        """Let the schedule go on, where it does so by the epoch; returns the last learning rate."""
        lr = float(self.optimizer.param_groups[0]["lr"])
        if self.recipe.step_on == "epoch":
            self.scheduler.step(self.epoch + 1)
        return lr

    def _validate(self, lr: float, seconds: float | None) -> bool:
        """Validate the network and its average; returns whether they are the best so far.

        Of a recipe that keeps the last epoch, each is the best so far.
        """
        averaged = self.ema_model
        scores, losses = self._evaluated(self.model)
        if not math.isfinite(scores.loss):
            raise RepvitNasError(
                f"the loss on the validation images is {scores.loss} after "
                f"{self._step_text(self._step_number())}"
            )
        ema = None if averaged is None else self._evaluated(averaged)
        images = self.batch * self.recipe.batch
        known: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "updates": self.updates,
            "lr": lr,
            "train_loss": self._mean_loss(),
            "images_per_s": None if seconds is None else images / seconds,
        }
        row = self.row_type(**known, **self._columns(scores, None if ema is None else ema.scores))
        self.rows.append(row)
        if ema is not None and self.recipe.weights == "ema":
            scores, losses = ema
        better = self.recipe.keep == "last" or self.best is None or self._is_better(scores)
        if better:
            self.best, self.best_epoch, self.losses = scores, row.epoch, losses
        return better

    def _new_task(self) -> Any:
        """Return timm's task: the network's loss on a batch."""
        return new_task(self.model, self.recipe, self.how.device)

    def _evaluated(self, network: nn.Module) -> Evaluation:
        """Return how a network does on the validation images."""
        return evaluate(network, self.val, self.task, self.how)

    def _columns(self, scores: Any, averaged: Any) -> dict[str, Any]:
        """Return what the log says of a network's scores, and of those of its average."""
        own = {"loss": scores.loss, "top1": scores.top1, "top5": scores.top5}
        return own | {"ema_top1": None if averaged is None else averaged.top1}

    def _is_better(self, scores: Any) -> bool:
        """Tell whether scores are better than the best so far."""
        return bool(scores.top1 > self.best.top1)

    def outcome(self, val_images: int) -> TrainOutcome | MatchOutcome:
        """Return what the best epoch reached, on so many validation images."""
        return TrainOutcome(
            epoch=self.best_epoch,
            updates=self.updates,
            top1=self.best.top1,
            top5=self.best.top5,
            loss=self.best.loss,
            val_images=val_images,
            seconds=round(self.seconds, 1),
        )

    def _mean_loss(self) -> float:
        total = self.loss_sum.clone()
        if self.how.world.processes > 1:
            torch.distributed.all_reduce(total)
        return float(total) / self.batch / self.how.world.processes

    def save(self) -> None:
        """Write a checkpoint of everything that decides how the run goes on.

        Raises:
            RepvitNasError: The loss is no number any more: that is not worth a checkpoint.
            FileError: The disk is full; the last checkpoint stays.
        """
        self._refuse_bad_loss()
        self._refuse_bad_weights()
        if self.how.world.rank:
            return
        averaged = self.ema_model
        trainer = {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "updates": self.updates,
            "seconds": self.seconds,
            "loss_sum": self.loss_sum.cpu(),
            "rows": [msgspec.to_builtins(row) for row in self.rows],
            "best": None if self.best is None else list(self.best),
            "best_epoch": self.best_epoch,
            "best_digest": self.best_digest,
        }
        self.checkpoints.save(
            self.updates,
            self.model.state_dict(),
            None if averaged is None else averaged.state_dict(),
            trainer,
        )

    def restore(self, loaded: Loaded) -> None:
        """Go to where a checkpoint was written.

        Raises:
            RepvitNasError: It is of another network.
        """
        load_strictly(self.model, loaded.model, "the checkpoint")
        if loaded.ema is not None and self.ema_model is not None:
            load_strictly(self.ema_model, loaded.ema, "the checkpoint's average")
        state = loaded.trainer
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.updates, self.seconds = state["updates"], state["seconds"]
        self.loss_sum.copy_(state["loss_sum"])
        self.rows = [msgspec.convert(row, self.row_type) for row in state["rows"]]
        self.best = None if state["best"] is None else self.scores_type(*state["best"])
        self.best_epoch = state["best_epoch"]
        self.best_digest = state.get("best_digest", "")  # older versions have none


_ERROR_PREFIX: Final = "repvit_nas.errors.RepvitNasError: "


def _scaler(device: torch.device) -> Any:
    return NativeScaler(device.type)  # type: ignore[no-untyped-call]


def _mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    if not recipe.mixed:
        return None
    return Mixup(  # type: ignore[no-untyped-call]
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch,
        label_smoothing=recipe.smoothing,
        num_classes=num_classes,
    )
