"""What a predictor file holds: an ensemble of models of latency, its intervals, and what it was fitted on."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import check_device
from repvit_nas.predictors.lookup import MeasuredPart, Source
from repvit_nas.predictors.physical import CostColumn, CostForm
from repvit_nas.quantities import Count, Deviation, Duration, Factor

PREDICTOR_FILE: Final = "predictor.json"


class MemberRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of the ensemble in a predictor file."""

    form: CostForm
    overhead_ms: Duration
    coefficients: tuple[Deviation, ...]


class FittedOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a predictor was fitted on, so that a stale one is noticed."""

    observations: Count
    digest: str
    assumptions_digest: str
    repvit_nas: str


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An ensemble and its intervals: what a predictor prices with.

    Attributes:
        device: Whose latencies it predicts.
        source: Where its latencies come from.
        columns: What the coefficients multiply, in order.
        members: The ensemble.
        misfit: Relative standard deviation of a single network's latency around the model.
        large_misfit: The same in addition above 320 px.
        quantile: Standard deviations to either side of a 90 % interval, from leave-one-out errors.
    """

    schema: Literal[1] = 1
    device: str
    source: Source
    columns: tuple[CostColumn, ...]
    members: tuple[MemberRecord, ...]
    misfit: Deviation
    large_misfit: Deviation
    quantile: Factor

    def __post_init__(self) -> None:
        """Check that there is a coefficient for every column."""
        if not self.members:
            raise ValueError("members must not be empty; got 0")
        for member in self.members:
            if len(member.coefficients) != len(self.columns):
                raise ValueError(
                    f"coefficients must be {len(self.columns)}; got {len(member.coefficients)}"
                )


class PredictorFile(Model, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `predictor.json` (schema 1).

    Attributes:
        fitted_on: What it was fitted on.
        measured: What was measured of single units; None where none was.
    """

    fitted_on: FittedOn
    measured: MeasuredPart | None = None


def read_predictor_file(path: Path, device: str = "") -> PredictorFile:
    """Read the `predictor.json` of a device.

    Raises:
        FileError: It is not valid, or of another device.
    """
    file = files.read_json(path, PredictorFile)
    check_device(path, file.device, device)
    if file.measured is None and file.source != "modelled":
        raise FileError(
            f"{path}: source must be modelled without a measured part; got {file.source}"
        )
    return file
