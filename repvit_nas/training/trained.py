"""What a finished training run left behind, read once, and its network."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.publish import CONFIG_FILE
from repvit_nas.training.records import (
    WEIGHTS_FILE,
    Asked,
    TrainFile,
    TrainOutcome,
    WrittenFile,
    read_training,
)


class TrainedRun(NamedTuple):
    """A finished training run.

    Attributes:
        folder: Where it is.
        record: Its `training.json`.
        outcome: What it reached.
        weights: The file of its weights.
        config: The file that says how they are used.
    """

    folder: Path
    record: TrainFile
    outcome: TrainOutcome
    weights: WrittenFile
    config: WrittenFile

    @property
    def asked(self) -> Asked:
        """What it was asked."""
        return self.record.asked


def trained_run(folder: str | Path) -> TrainedRun:
    """Read a finished training run.

    Raises:
        RepvitNasError: The folder holds none, it is not finished, or its weights are gone.
        FileError: Its files cannot be read.
    """
    folder = Path(folder)
    record = read_training(folder)
    outcome = record.outcome
    if outcome is None:
        raise RepvitNasError(
            f"{folder}: the training is not finished; go on with: {record.command} --resume"
        )
    weights = files.inside(folder, folder / WEIGHTS_FILE)
    if not weights.is_file():
        raise RepvitNasError(
            f"{folder}: its weights ({WEIGHTS_FILE}) are not here; train it again in another folder"
            f" with: {record.command}"
        )
    return TrainedRun(
        folder,
        record,
        outcome,
        WrittenFile.of(weights, outcome.weights_digest),
        WrittenFile.of(folder / CONFIG_FILE, outcome.config_digest),
    )


def load_trained(run: TrainedRun, *, verify: bool = True, **kwargs: Any) -> torch.nn.Module:
    """Return a run's network with its weights, in training form and evaluation mode.

    Args:
        run: The run.
        verify: Make sure that weights and configuration are those that the training left.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Raises:
        FileError: The run's files are damaged, or others than the training left.
    """
    import timm  # which registers our entry, see repvit_nas/__init__.py

    if verify:
        run.weights.check()
        run.config.check()
    try:
        trained: torch.nn.Module = timm.create_model(
            f"local-dir:{run.folder}", pretrained=True, **kwargs
        )
    except RepvitNasError:
        raise
    except Exception as error:  # each damage has a kind of its own
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(
            f"{run.folder}: cannot be loaded from {WEIGHTS_FILE} and config.json: {said}"
        ) from error
    return trained.eval()
