"""What is exported: a trained network of a run, or one of random weights for a latency test."""

import json
from typing import Final, NamedTuple

import msgspec
import torch
from torch import nn

from repvit_nas.architecture import Architecture, OutputKind, with_output
from repvit_nas.training.recipe import Recipe, load_recipe
from repvit_nas.training.records import TrainOutcome
from repvit_nas.training.trained import TrainedRun, load_trained
from repvit_nas.units import Network
from repvit_nas.version import __version__

UNTRAINED: Final = "untrained: random weights, for a latency test only"


class Subject(NamedTuple):
    """A network to export, and what its files say of it.

    Attributes:
        model: In training form, single precision and evaluation mode.
        architecture: The network.
        classes: Names of its classes, by number.
        recipe: How its images are prepared.
        title: What it is, in a line.
        origin: Where it comes from, metadata of its files.
        digest: Of the file of its weights; empty if it is untrained.
    """

    model: nn.Module
    architecture: Network
    classes: tuple[str, ...]
    recipe: Recipe
    title: str
    origin: dict[str, str]
    digest: str = ""

    @property
    def known(self) -> dict[str, str]:
        """All metadata of its files: what it is, and where it comes from."""
        return {
            "output": self.architecture.output,
            "architecture": msgspec.json.encode(self.architecture).decode(),
            "classes": json.dumps(self.classes),
        } | self.origin


def trained_subject(
    run: TrainedRun, *, verify: bool = True, output: OutputKind | None = None
) -> Subject:
    """Return the network of a finished run.

    Args:
        run: The run.
        verify: Refuse weights that are not those that the training left.
        output: What it shall hand back; None for what it was trained for.

    Raises:
        FileError: Its files are damaged.
    """
    record, asked, digest = run.record, run.asked, run.weights.found
    model = load_trained(run, verify=verify, output=output)
    architecture, classes = asked.architecture, record.classes
    apart = output is not None and output != architecture.output
    if apart and output and isinstance(architecture, Architecture):
        architecture, classes = with_output(architecture, output), ()
    origin = {
        "data": asked.data.name,
        "top1": f"{run.outcome.top1:.3f}" if isinstance(run.outcome, TrainOutcome) else "",
        "weights_digest": digest,
        "repvit_nas": record.versions["repvit_nas"],
    }
    title = f"{asked.architecture.name} trained on {asked.data.name}"
    return Subject(model, architecture, classes, asked.recipe, title, origin, digest)


def untrained_subject(architecture: Network) -> Subject:
    """Return a network of random weights, the same every time."""
    from repvit_nas.network import create

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create(architecture)
    classes = tuple(f"class {number}" for number in range(architecture.num_classes))
    origin = {"trained": UNTRAINED, "repvit_nas": __version__}
    title = f"{architecture.name or 'network'}, {UNTRAINED}"
    return Subject(model, architecture, classes, load_recipe("quick"), title, origin)
