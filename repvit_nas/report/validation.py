"""How far off a predictor is, of whichever kind its validation is: for the terminal, and as a picture."""

from typing import TYPE_CHECKING

from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.validation import CrossValidation, LeaveOneOut, Validation
from repvit_nas.report.cross_validation import cross_validation_picture, cross_validation_tables
from repvit_nas.report.held_out import held_out_picture, score_tables, summary
from repvit_nas.report.leave_one_out import leave_one_out_picture, left_out_summary, left_out_table

if TYPE_CHECKING:
    from rich.table import Table


def validation_parts(validation: Validation) -> "list[Table | str]":
    """Return what is printed of a validation, from top to bottom."""
    if isinstance(validation, CrossValidation):
        return [*cross_validation_tables(validation)]
    if isinstance(validation, LeaveOneOut):
        return [left_out_table(validation), left_out_summary(validation)]
    return [*score_tables(validation), summary(validation)]


def validation_picture(validation: Validation, predictor: Predictor) -> bytes:
    """Draw predicted against published or measured, as PNG."""
    if isinstance(validation, CrossValidation):
        return cross_validation_picture(validation)
    if isinstance(validation, LeaveOneOut):
        return leave_one_out_picture(validation)
    return held_out_picture(validation, predictor)
