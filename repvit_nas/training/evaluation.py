"""How good a network is on the validation images, and in what way it is computed."""

import contextlib
from typing import Any, Final, NamedTuple

import torch
from timm.task.evaluator import evaluation_sample_limit
from torch import nn

from repvit_nas.training.loading import World
from repvit_nas.training.records import Precision

_TYPES: Final[dict[str, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Scores(NamedTuple):
    """How a network does on the validation images: cross-entropy, and percent right."""

    loss: float
    top1: float
    top5: float


class How(NamedTuple):
    """How a run is computed, none of which decides what is learned but for the precision.

    Attributes:
        device: Where.
        precision: In which numbers.
        world: Which of how many processes this is.
        channels_last: Keep the channels of a pixel together in memory.
        compiled: Let torch compile the network.
        save_every: Updates between two checkpoints; 0 for one at the end of each epoch.
    """

    device: torch.device
    precision: Precision = "fp32"
    world: World = World()
    channels_last: bool = False
    compiled: bool = False
    save_every: int = 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the network is computed."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=_TYPES[self.precision])


class Evaluation(NamedTuple):
    """How a network does on the validation images, and on each that this process has seen.

    Attributes:
        scores: Over all of them: `Scores`, or of what a subclass of the trainer learns.
        losses: Cross-entropy on each image of this process in the order of the loader, `(n,)`; empty of
            a subclass.
    """

    scores: Any
    losses: torch.Tensor


@torch.inference_mode()
def evaluate(model: nn.Module, loader: Any, task: Any, how: How) -> Evaluation:
    """Return how `model` does on the images of `loader`; it is left in evaluation mode."""
    model.eval()
    scores = task.create_evaluator(max_samples=evaluation_sample_limit(loader))
    losses = []
    for images, target in loader:
        taken = laid_out(images, how)
        with how.autocast():
            output = model(taken)
        scores.update(output, target)
        losses.append(nn.functional.cross_entropy(output.float(), target, reduction="none"))
    found = scores.compute(distributed=how.world.processes > 1)
    return Evaluation(
        Scores(found["loss"], found["top1"], found["top5"]),
        torch.cat(losses).cpu() if losses else torch.empty(0),
    )


def laid_out(images: torch.Tensor, how: How) -> torch.Tensor:
    """Return images in the layout in which the network is computed."""
    return images.contiguous(memory_format=torch.channels_last) if how.channels_last else images
