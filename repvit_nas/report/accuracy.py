"""Tables of accuracy: what a campaign trained, and how far off its estimator is."""

import statistics
from typing import TYPE_CHECKING

from repvit_nas.accuracy.held_out import SEEDS
from repvit_nas.architecture import shape_text
from repvit_nas.report.tables import Grid
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.accuracy.held_out import AccuracyValidation
    from repvit_nas.accuracy.observations import AccuracyObservation
    from repvit_nas.campaign.finals import Finals
    from repvit_nas.campaign.opening import Campaign
    from repvit_nas.campaign.run import CampaignOutcome

VALIDATION_HEADER = ("ranked by", "tau (90 % interval)", "best 3 found", "behind the best")


def validation_cells(validation: "AccuracyValidation") -> list[list[str]]:
    """Return a row for each score: its tau, how many of the best it names, and what it loses."""
    return [
        [
            name,
            f"{ranking.tau:.2f} ({ranking.low:.2f} to {ranking.high:.2f})",
            f"{ranking.precision * validation.picked:.0f} of {validation.picked}",
            "" if name == SEEDS else f"{ranking.regret:.2f} points",
        ]
        for name, ranking in validation.rankings.items()
    ]


def validation_table(validation: "AccuracyValidation") -> Grid:
    """Return how each score ranks the networks that no fit saw."""
    title = f"{validation.networks} networks that no fit saw, {validation.trainings} trainings"
    return Grid.of(title, VALIDATION_HEADER, validation_cells(validation))


def coverage_text(validation: "AccuracyValidation") -> str:
    """Say how often the intervals hold."""
    moved = (
        "" if validation.level is None else f", moved by {validation.level:+.1f} points as a whole"
    )
    return (
        f"Intervals of 90 % hold for {validation.coverage:.0%} of them{moved}; of the family alone, its "
        f"level moved to theirs, for {validation.coverage_family:.0%}."
    )


def accuracy_validation_parts(validation: "AccuracyValidation") -> list[Grid | str]:
    """Return what is printed of a validation."""
    return [validation_table(validation), coverage_text(validation)]


def campaign_parts(
    campaign: "Campaign", outcome: "CampaignOutcome", validation: "AccuracyValidation | None"
) -> list[Grid | str]:
    """Return what is printed of a campaign: trainings, validation, and how to go on."""
    state, name = outcome.state, campaign.file.name
    parts: list[Grid | str] = [trained_table(state.observations)]
    parts += [f"Left out: {failed}: {reason}" for failed, reason in state.failed.items()]
    if validation is not None:
        parts += accuracy_validation_parts(validation)
    parts.append(f"Ended: {outcome.reason}.")
    if state.open:
        parts.append(f"{number_of(len(state.open), 'training')} left; the same command goes on.")
    if outcome.fitted is not None:
        budget = ",".join(f"{key}={ms:g}" for key, ms in campaign.file.asked.budgets_ms.items())
        parts.append(f"Written to {outcome.folder}; search by it with")
        parts.append(f"    repvit-nas search --budget-ms {budget} --accuracy {name}")
    return parts


def finals_parts(finals: "Finals") -> list[Grid | str]:
    """Return what is printed of the finals of a search."""
    from repvit_nas.campaign.finals import sentence

    return [finals_table(finals), sentence(finals)]


def finals_rows(finals: "Finals") -> list[list[str]]:
    """Return a row for each network of the finals."""
    return [
        [
            ("reference " if row.reference else "") + row.name,
            f"{row.latency_ms:.3f}",
            f"{statistics.fmean(row.top1):.2f}",
            " ".join(f"{each:.2f}" for each in row.top1),
            ""
            if row.lead is None
            else f"{row.lead:+.2f}" + ("" if row.lead_half is None else f" ± {row.lead_half:.2f}"),
            shape_text(row.architecture),
        ]
        for row in finals.networks
    ]


FINALS_HEADER = ("network", "ms predicted", "top-1 %", "by seed", "the winner leads by", "shape")


def finals_table(finals: "Finals") -> Grid:
    """Return the finals of a search."""
    drop = {"shape": 2, "by seed": 1}
    title = f"Finals on {finals.data}"
    return Grid.of(title, FINALS_HEADER, finals_rows(finals), left=("shape",), drop=drop)


def trained_table(observations: "Sequence[AccuracyObservation]", most: int = 12) -> Grid:
    """Return the best of the networks that were trained."""
    cells = [
        (
            each.source,
            f"{each.top1:.2f}" + ("" if each.top1_sd is None else f" ± {each.top1_sd:.2f}"),
            "" if each.loss is None else f"{each.loss:.4f}",
            each.start,
            shape_text(each.architecture),
        )
        for each in sorted(observations, key=_order)[:most]
    ]
    header = ("training", "top-1 %", "cross-entropy", "start", "shape")
    drop = {"shape": 3, "start": 2, "cross-entropy": 1}
    return Grid.of("Trained, best first", header, cells, left=("start", "shape"), drop=drop)


def _order(observation: "AccuracyObservation") -> float:
    return -observation.top1 if observation.loss is None else observation.loss
