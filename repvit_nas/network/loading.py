"""Load a searched, read or published architecture as a model."""

from pathlib import Path
from typing import Any

import torch

from repvit_nas.architecture import Architecture
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.records import WEIGHTS_FILE, finished, is_training_run


def load(
    named: str | Path | Architecture, *, pretrained: bool = False, **kwargs: Any
) -> torch.nn.Module:
    """Return the network that `named` stands for as a torch module.

    Args:
        named: A reference name (`repvit_m0_9`), an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), the folder of a training run, which comes with the
            weights that were trained, or an architecture.
        pretrained: Load timm's published weights; only reference networks have them.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Returns:
        The network in training form and evaluation mode, untrained unless `pretrained` or a run.

    Raises:
        RepvitNasError: There is no such network, or its training is not finished.
        FileError: A run's files are damaged.
    """
    import timm  # which registers our entry, see repvit_nas/__init__.py

    if isinstance(named, str | Path) and is_training_run(Path(named)):
        finished(Path(named))
        try:
            trained: torch.nn.Module = timm.create_model(
                f"local-dir:{named}", pretrained=True, **kwargs
            )
        except RepvitNasError:
            raise
        except Exception as error:  # each damage has a kind of its own
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise FileError(
                f"{named}: cannot be loaded from {WEIGHTS_FILE} and config.json: {said}"
            ) from error
        return trained.eval()
    model: torch.nn.Module = timm.create_model(
        "repvit_nas", pretrained=pretrained, architecture=named, **kwargs
    )
    return model.eval()
