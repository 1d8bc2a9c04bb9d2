"""Checked runs that differ in their seed alone, put together: what is chance, and what is not."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas.checking.records import CheckRecord, ComparedNetwork, Relation, relation
from repvit_nas.errors import RepvitNasError
from repvit_nas.quantities import Count, Deviation, Percent, Seed, Signed
from repvit_nas.training.records import differences, read_training

SEEDS_FILE: Final = "seeds.json"
# The only value of a training that may differ.
_SEED: Final = "seed "
_WITHIN: Final = 0.9


class SeededRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that was trained with several seeds.

    Attributes:
        network: The network, with the mean of its accuracies.
        top1: Percent right on the validation images, in the order of the runs that have it.
        sd: Standard deviation from seed to seed; None of one training.
        lead: Mean over the seeds that both were trained with of the variant's accuracy less this
            network's, in points; None of the variant itself.
        lead_half: Half the width of its 90 % interval (Student's t); None of one seed.
    """

    network: ComparedNetwork
    top1: tuple[Percent, ...]
    sd: Deviation | None = None
    lead: Signed | None = None
    lead_half: Deviation | None = None


class SeedsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `seeds.json` (schema 1).

    Attributes:
        runs: The folders of the runs.
        seeds: Their seeds.
        device: Whose latencies are predicted.
        val_images: On how many images accuracies are taken.
        kept: Whether every promise of every run is kept.
        networks: The variant, then the family as far as it was trained.
    """

    schema: Literal[1] = 1
    runs: tuple[str, ...]
    seeds: tuple[Seed, ...]
    device: str
    val_images: Count
    kept: bool
    networks: tuple[SeededRow, ...]


def same_but_for_seed(folders: Sequence[Path]) -> tuple[int, ...]:
    """Return the seeds of runs that are the same otherwise.

    Raises:
        RepvitNasError: They differ in more than the seed, or two have the same.
    """
    asked = [read_training(folder).asked for folder in folders]
    for folder, other in zip(folders[1:], asked[1:], strict=True):
        apart = [text for text in differences(asked[0], other) if not text.startswith(_SEED)]
        if apart:
            raise RepvitNasError(
                f"{folders[0]} and {folder} differ in more than the seed: {'; '.join(apart[:3])}; "
                "check them one by one"
            )
    seeds = tuple(one.seed for one in asked)
    if len(set(seeds)) < len(seeds):
        raise RepvitNasError(
            f"runs to put together need seeds of their own; got {', '.join(map(str, seeds))}"
        )
    return seeds


def over_seeds(folders: Sequence[Path], checked: Sequence[CheckRecord]) -> SeedsRecord:
    """Put together the checks of runs of one network.

    Args:
        folders: The runs, one for each seed.
        checked: What was found of each.

    Raises:
        RepvitNasError: The runs differ in more than the seed, or two have the same.
    """
    seeds = same_but_for_seed(folders)
    variants = [found.variant for found in checked]
    variant = _seeded(variants, variants)
    beside = [
        _seeded(rows, variants, variant.network)
        for rows in zip(*(found.family for found in checked), strict=True)
        if any(row.top1 is not None for row in rows)
    ]
    return SeedsRecord(
        runs=tuple(map(str, folders)),
        seeds=seeds,
        device=checked[0].device,
        val_images=checked[0].val_images,
        kept=all(found.kept for found in checked),
        networks=(variant, *beside),
    )


def _seeded(
    rows: Sequence[ComparedNetwork],
    variants: Sequence[ComparedNetwork],
    variant: ComparedNetwork | None = None,
) -> SeededRow:
    """Put together one network's rows, beside those of the variant with the same seeds."""
    top1 = tuple(row.top1 for row in rows if row.top1 is not None)
    mean = statistics.fmean(top1) if top1 else None
    network = msgspec.structs.replace(rows[0], top1=mean)
    found = SeededRow(
        network=network, top1=top1, sd=statistics.stdev(top1) if len(top1) > 1 else None
    )
    if variant is None:
        return found
    leads = [
        ours.top1 - theirs.top1
        for ours, theirs in zip(variants, rows, strict=True)
        if ours.top1 is not None and theirs.top1 is not None
    ]
    return msgspec.structs.replace(
        found,
        network=msgspec.structs.replace(network, relation=relation(network, mean, variant)),
        lead=statistics.fmean(leads) if leads else None,
        lead_half=half_interval(leads) if len(leads) > 1 else None,
    )


def half_interval(leads: Sequence[float]) -> float:
    """Return half the width of the 90 % interval of a mean (Student's t), of two values or more."""
    from scipy import stats

    quantile = float(stats.t.ppf(0.5 + _WITHIN / 2, len(leads) - 1))
    return quantile * statistics.stdev(leads) / math.sqrt(len(leads))


def settled(row: SeededRow) -> Relation:
    """Return how a network stands to the variant, or nothing where the seeds do not tell.

    The interval of the lead must lie on one side of zero; of one seed there is none.
    """
    if row.lead is None or row.lead_half is None or abs(row.lead) <= row.lead_half:
        return ""
    return row.network.relation
