"""Images in a second of our training loop against a loop as in timm's train.py, in turns.

Same network, images, batch, augmentation, optimizer, clipping and schedule on one core; an epoch of
each a round. Promised: at least 0.95 of timm's.
"""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timm.data.loader import create_loader
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.task import ClassificationTask
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.metrics import AverageMeter

from repvit_nas import load
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.data import open_data
from repvit_nas.training.evaluation import How
from repvit_nas.training.loading import World, mend, train_batches
from repvit_nas.training.recipe import Recipe, load_recipe
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.trainer import Trainer

SIDE, BATCH, IMAGES, ROUNDS = 32, 32, 256, 7
PROMISED = 0.95
CPU = torch.device("cpu")


def main() -> None:
    """Print images in a second of both loops, and their ratio."""
    torch.set_num_threads(1)
    changes = {"batch": BATCH, "epochs": 100, "augment": "rand-m9-mstd0.5-inc1", "erasing": 0.25}
    recipe = load_recipe("quick", changes)
    opened = open_data(DataSpec(name="shapes", train_images=IMAGES, val_images=24), SIDE)
    classes = len(opened.classes)
    with tempfile.TemporaryDirectory() as folder:
        model = load("repvit_m0_6", num_classes=classes, distillation=False)
        batches = train_batches(
            opened.train, recipe, SIDE, seed=0, world=World(), device=CPU, workers=0
        )
        trainer = Trainer(
            model, recipe, batches, [], how=How(CPU), checkpoints=Checkpoints(Path(folder))
        )

        def ours() -> None:
            trainer.batch = 0
            trainer._train_epoch(lambda *_: None)  # noqa: SLF001  # without validation
            trainer.epoch += 1

        theirs = _timms_epoch(recipe, classes)
        seconds = medians({"ours": ours, "timm": theirs}, ROUNDS)
    fast = {name: IMAGES / taken for name, taken in seconds.items()}
    ratio = fast["ours"] / fast["timm"]
    print(f"our loop: {fast['ours']:7.1f} images/s")
    print(f"as timm:  {fast['timm']:7.1f} images/s")
    print(f"ratio {ratio:.3f}; promised at least {PROMISED}")


def _timms_epoch(recipe: Recipe, classes: int) -> Callable[[], None]:
    """Return an epoch in the order of timm's train.py: loader, task, clip, step, schedule, meter."""
    images: Any = open_data(DataSpec(name="shapes", train_images=IMAGES, val_images=24), SIDE).train
    loader = create_loader(
        images,
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=True,
        re_prob=recipe.erasing,
        re_mode="pixel",
        scale=recipe.scale,
        ratio=recipe.ratio,
        hflip=recipe.hflip,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.augment,
        interpolation=recipe.interpolation,
        num_workers=0,
        device=CPU,
    )
    mend(images.transform)  # Pillow refuses timm's strongest posterizing
    model = load("repvit_m0_6", num_classes=classes, distillation=False).train()
    task = ClassificationTask(
        model, criterion_kwargs={"smoothing": recipe.smoothing}, verbose=False
    )
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=recipe.scaled_lr(1), weight_decay=recipe.weight_decay
    )
    scheduler, _ = create_scheduler_v2(
        optimizer, num_epochs=100, step_on_epochs=False, updates_per_epoch=len(loader)
    )
    meter: Any = AverageMeter()  # type: ignore[no-untyped-call]
    updates = 0

    def epoch() -> None:
        nonlocal updates
        model.train()
        optimizer.zero_grad()
        for taken, target in loader:
            result = task(taken, target)
            result["loss"].backward()
            dispatch_clip_grad(task.get_clip_parameters(), recipe.clip, mode=recipe.clip_mode)
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
            meter.update(result["loss"].item(), taken.size(0))
            scheduler.step_update(num_updates=updates)

    return epoch


if __name__ == "__main__":
    main()
