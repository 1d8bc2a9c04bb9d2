"""How far off a predictor is, of whichever kind its validation is: for the terminal, and as a picture."""

from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.validation import (
    CrossValidation,
    HeldOutComparison,
    LeaveOneOut,
    Validation,
)
from repvit_nas.report.cross_validation import cross_validation_picture, cross_validation_tables
from repvit_nas.report.held_out import curve_table, held_out_picture, score_table, summary
from repvit_nas.report.leave_one_out import leave_one_out_picture, left_out_summary, left_out_table
from repvit_nas.report.tables import Grid
from repvit_nas.words import number_of


def validation_parts(validation: Validation) -> list[Grid | str]:
    """Return what is printed of a validation, from top to bottom."""
    if isinstance(validation, CrossValidation):
        return [*cross_validation_tables(validation), *_aside(validation)]
    if isinstance(validation, LeaveOneOut):
        return [left_out_table(validation), left_out_summary(validation)]
    curve = [curve_table(validation)] if validation.curve else []
    return [score_table(validation), *curve, summary(validation), *_aside(validation)]


def _aside(validation: CrossValidation | HeldOutComparison) -> list[str]:
    """Say what the fit is without, because no model fits all."""
    if not validation.left_aside:
        return []
    aside, others = "timed", "published"
    if isinstance(validation, HeldOutComparison):
        aside, others = others, aside
    said = (
        f"Left aside: {number_of(validation.left_aside, f'{aside} latency')}. No model of one device fits "
        f"them and the {others} ones together, as if one of both were of another unit, state or device."
    )
    return [said]


def validation_picture(validation: Validation, predictor: Predictor) -> bytes:
    """Draw predicted against published or measured, as PNG."""
    if isinstance(validation, CrossValidation):
        return cross_validation_picture(validation)
    if isinstance(validation, LeaveOneOut):
        return leave_one_out_picture(validation)
    return held_out_picture(validation, predictor)
