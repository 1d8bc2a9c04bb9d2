"""Matching a teacher's map against a bare loop of torch: the same network, teacher and pictures, in turns."""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch import nn
from torch.utils.data import DataLoader

from repvit_nas import load
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.embeddings import unkept
from repvit_nas.training.evaluation import How
from repvit_nas.training.loading import World
from repvit_nas.training.matching import MatchTrainer
from repvit_nas.training.pictures import open_pictures, picture_batches
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.spec import DataSpec

NETWORK, SIDE, BATCH, IMAGES, ROUNDS = "repvit_m0_6", 128, 8, 48, 5
PROMISED = 0.95
CPU = torch.device("cpu")


def main() -> None:
    """Print pictures in a second of both loops, and their ratio."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 32, 4, 4), nn.GELU(), nn.Conv2d(32, 256, 4, 4))
    teacher = nn.Sequential(*layers).eval().requires_grad_(requires_grad=False)
    recipe = load_recipe("match", {"batch": BATCH, "epochs": 100, "warmup_epochs": 0})
    opened = open_pictures(DataSpec(name="shapes", train_images=IMAGES, val_images=24), SIDE)
    with tempfile.TemporaryDirectory() as folder:
        batches = picture_batches(
            opened.train, recipe, seed=0, world=World(), device=CPU, workers=0
        )
        trainer = MatchTrainer(
            load(NETWORK, output="sam").train(),
            recipe,
            batches,
            [],
            target_of=unkept(teacher),
            cosine=0.0,
            how=How(CPU),
            checkpoints=Checkpoints(Path(folder)),
        )

        def ours() -> None:
            trainer.batch = 0
            trainer._train_epoch(lambda *_: None)  # noqa: SLF001  # without validation
            trainer.epoch += 1

        seconds = medians({"ours": ours, "torch": _bare_epoch(opened.train, teacher)}, ROUNDS)
    fast = {name: IMAGES / taken for name, taken in seconds.items()}
    print(f"our loop:   {fast['ours']:6.1f} pictures/s")
    print(f"bare torch: {fast['torch']:6.1f} pictures/s")
    print(f"ratio {fast['ours'] / fast['torch']:.3f}; promised at least {PROMISED}")


def _bare_epoch(pictures: object, teacher: nn.Module) -> Callable[[], None]:
    """Return an epoch as one would write it down: load, teach, step."""
    loader: DataLoader[tuple[torch.Tensor, torch.Tensor]] = DataLoader(
        pictures,  # type: ignore[arg-type]
        batch_size=BATCH,
        shuffle=True,
    )
    model = load(NETWORK, output="sam").train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.01)

    def epoch() -> None:
        for images, _ in loader:
            with torch.no_grad():
                wanted = teacher(images)
            loss = nn.functional.mse_loss(model(images), wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()

    return epoch


if __name__ == "__main__":
    main()
