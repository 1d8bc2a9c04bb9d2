"""The network that a finished training run left behind."""

from pathlib import Path
from typing import Any

import torch

from repvit_nas.architecture import FEATURES, SAM_STEP, OutputKind, with_output
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.publish import CONFIG_FILE
from repvit_nas.training.records import WEIGHTS_FILE, check_digest, finished


def load_trained(
    folder: str | Path,
    *,
    verify: bool = True,
    output: OutputKind | None = None,
    **kwargs: Any,
) -> torch.nn.Module:
    """Return a run's network with its weights, in training form and evaluation mode.

    Args:
        folder: The run.
        verify: Make sure that weights and configuration are those that the training left.
        output: What it shall hand back: `features` of a trained classifier leave its head out; None for
            what it was trained for.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Raises:
        RepvitNasError: The training is not finished, or was of no such output.
        FileError: The run's files are damaged, or others than the training left.
    """
    import timm  # which registers our entry, see repvit_nas/__init__.py

    folder = Path(folder)
    record = finished(folder)
    outcome, architecture = record.ended, record.asked.architecture
    if output is not None and output != architecture.output:
        if output != FEATURES:
            raise RepvitNasError(
                f"{folder}: was trained for {architecture.output}, so there are no weights for {output}; "
                "train --task match --init takes what is behind the stages from it"
                if output in SAM_STEP
                else f"{folder}: was trained for {architecture.output}, and has no head for {output}"
            )
        kwargs |= {"architecture": with_output(architecture, output), "num_classes": 0}
    if verify and outcome is not None:
        check_digest(folder / WEIGHTS_FILE, outcome.weights_digest)
        check_digest(folder / CONFIG_FILE, outcome.config_digest)
    try:
        trained: torch.nn.Module = timm.create_model(
            f"local-dir:{folder}", pretrained=True, **kwargs
        )
    except RepvitNasError:
        raise
    except Exception as error:  # each damage has a kind of its own
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(
            f"{folder}: cannot be loaded from {WEIGHTS_FILE} and config.json: {said}"
        ) from error
    return trained.eval()
