"""What a finished training run left behind, read once, and its network."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from repvit_nas import files
from repvit_nas.architecture import (
    FEATURES,
    LOGITS,
    SAM_STEP,
    Architecture,
    OutputKind,
    with_output,
)
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.publish import CONFIG_FILE
from repvit_nas.training.records import (
    WEIGHTS_FILE,
    Asked,
    MatchOutcome,
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
    outcome: TrainOutcome | MatchOutcome
    weights: WrittenFile
    config: WrittenFile

    @property
    def top1(self) -> float | None:
        """Percent right on the validation images, of a classifier."""
        return self.outcome.top1 if isinstance(self.outcome, TrainOutcome) else None

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
    outcome = record.ended
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


def load_trained(
    run: TrainedRun,
    *,
    verify: bool = True,
    output: OutputKind | None = None,
    **kwargs: Any,
) -> torch.nn.Module:
    """Return a run's network with its weights, in training form and evaluation mode.

    Args:
        run: The run.
        verify: Make sure that weights and configuration are those that the training left.
        output: What it shall hand back: `features` of a trained classifier leave its head out; None for
            what it was trained for.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Raises:
        RepvitNasError: The run was trained for something else than `output`.
        FileError: The run's files are damaged, or others than the training left.
    """
    import timm  # which registers our entry, see repvit_nas/__init__.py

    architecture = run.asked.architecture
    trained_for = architecture.output if isinstance(architecture, Architecture) else LOGITS
    if output is not None and output != trained_for:
        if output != FEATURES or not isinstance(architecture, Architecture):
            raise RepvitNasError(
                f"{run.folder}: was trained for {trained_for}, so there are no weights for {output}; "
                "train --task match --init takes what is behind the stages from it"
                if output in SAM_STEP
                else f"{run.folder}: was trained for {trained_for}, and has nothing for {output}"
            )
        kwargs |= {"architecture": with_output(architecture, output), "num_classes": 0}
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
