"""Fit a modelled device: the physical model alone, on whole networks that others published.

What was timed, but is too little to make it a measured device, is fitted with them, and units that were
timed take the place of their modelled figures.
"""

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.published import PathStep
from repvit_nas.latency_lut.table import Table
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.cross_validation import (
    Predict,
    ensemble_predictions,
    misfit_of_target,
    validate,
)
from repvit_nas.predictors.engine import Engine
from repvit_nas.predictors.ensemble import design, fit
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.predictor_file import MemberRecord, Model
from repvit_nas.predictors.probes import ProbedModel, RowOrigin, probes
from repvit_nas.predictors.table_observations import (
    beside_published,
    taken_beside,
    unit_observations,
)
from repvit_nas.predictors.timed_units import Learning, PartlyMeasured
from repvit_nas.predictors.validation import CrossValidation
from repvit_nas.words import Progress


def learn_published(
    device: str,
    published: Sequence[Observation],
    table: Table | None,
    assumptions: Assumptions,
    progress: Progress = lambda *_: None,
    *,
    path: Sequence[PathStep] = (),
    origin: RowOrigin | None = None,
) -> tuple[Learning, CrossValidation]:
    """Fit a predictor to published latencies, and say how far off it is.

    Args:
        device: Whose latencies they are.
        published: The latencies.
        table: What was timed beside them; see :func:`taken_beside`.
        assumptions: What the physical model takes for granted.
        progress: Told what is being done.
        path: Networks that the fit is only compared with.
        origin: Another device's fit that the latencies are compared with.

    Raises:
        ContradictionError: No form of the model comes near the latencies.
    """
    observations, units = list(published), list[Observation]()
    if table is not None:
        units = unit_observations(table, table.units)
        observations += beside_published(table, published)
        assumptions = taken_beside(assumptions, table)
    errors = assumptions.errors
    problem = design([*observations, *units], assumptions)
    members = fit(problem)
    predict: Predict = ensemble_predictions
    found = None
    if table is not None and units:
        timed = PartlyMeasured(table, assumptions.columns, errors)
        found = timed.refined(members)
        predict = timed.predictions([*observations, *units], found.learned.part.kernel)
    groups = {item.network for item in observations} | {item.family for item in observations}
    known = isinstance(assumptions.engine, Engine)
    total, done = (1 + known) * (len(groups) + 1), itertools.count()

    def told(name: str) -> None:
        progress(f"validating without {name}", next(done), total)

    validation, quantile = validate(
        device, observations, problem, members, errors, progress=told, predict=predict
    )
    subject = ProbedModel(observations, problem, assumptions, quantile, predict)
    found_probes = probes(subject, path, origin)
    if known:
        # The conservative variant beside it: how much of the reach comes from what is known.
        freed = assumptions.freed()
        open_problem = design([*observations, *units], freed)
        free, open_quantile = validate(
            device,
            observations,
            open_problem,
            fit(open_problem),
            errors,
            progress=told,
            predict=predict,
        )
        validation = msgspec.structs.replace(validation, rates_free=free.summaries)
        subject = ProbedModel(observations, open_problem, freed, open_quantile, predict)
        found_probes += tuple(
            msgspec.structs.replace(probe, title=f"{probe.title}, rates free")
            for probe in probes(subject, path)
        )
    validation = msgspec.structs.replace(validation, probes=found_probes)
    model = Model(
        device=device,
        source="modelled",
        columns=assumptions.columns,
        members=tuple(
            MemberRecord(
                member.form,
                round(float(member.overhead_ms), 6),
                tuple(round(float(value), 6) for value in member.coefficients),
            )
            for member in members
        ),
        misfit=misfit_of_target(errors),
        large_misfit=errors.large,
        quantile=round(quantile, 4),
    )
    learning = Learning(
        Predictor(model, found.learned if found else None),
        len(observations) + len(units),
        found.arrays if found else b"",
        found.left_out if found else np.zeros(0),
    )
    return learning, validation
