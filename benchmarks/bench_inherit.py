"""Inherited start against random start on scikit-learn's digits: accuracy after each few updates.

A reference network is trained first; then a narrower and shallower variant starts from it, or from
random weights, by the same recipe, seed and images.
"""

import interleaved  # isort: skip  # noqa: F401  # limits threads before torch is imported

import csv
import tempfile
from pathlib import Path

import torch

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.training import Asked, DataSpec, load_recipe, train
from repvit_nas.training.records import RANDOM

REACHED = (50.0, 80.0, 90.0, 95.0)
DIGITS = DataSpec(name="digits")


def network(name: str, widths: tuple[int, ...], depths: tuple[int, ...]) -> Architecture:
    """Return a small network for 32 px."""
    stages = tuple(
        Stage(width=width, depth=depth, se=("10" * depth)[:depth])
        for width, depth in zip(widths, depths, strict=True)
    )
    return Architecture(name=name, resolution=32, num_classes=10, stages=stages)  # type: ignore[arg-type]


def main() -> None:
    """Print the accuracy after each epoch of both, and the updates to given accuracies."""
    torch.set_num_threads(1)
    parent = network("parent", (32, 48, 64, 96), (1, 1, 4, 1))
    variant = network("variant", (24, 40, 56, 72), (1, 1, 2, 1))
    recipe = load_recipe("quick", {"epochs": 4, "lr": 0.016})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        done = train(Asked(architecture=parent, recipe=recipe, data=DIGITS), root / "parent")
        if done.outcome is not None:
            print(f"parent, trained from random weights: top-1 {done.outcome.top1:.1f} %")
        for name, init in (("random", RANDOM), ("inherited", str(root / "parent"))):
            asked = Asked(architecture=variant, recipe=recipe, data=DIGITS, init=init)
            train(asked, root / name)
            with (root / name / "log.csv").open() as file:
                rows = [(int(row["updates"]), float(row["top1"])) for row in csv.DictReader(file)]
            print(f"{name:9s}", *(f"{top1:5.1f} % after {updates:3d}" for updates, top1 in rows))
            for level in REACHED:
                first = next((updates for updates, top1 in rows if top1 >= level), None)
                said = "not reached" if first is None else f"reached after {first} updates"
                print(f"          {level:.0f} % {said}")


if __name__ == "__main__":
    main()
