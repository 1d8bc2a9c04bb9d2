"""The promises of the modelled iPhone 12, recomputed from the shipped data."""

import math

import numpy as np
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.published import read_observations
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.cross_validation import (
    LOOKALIKES,
    HeldOut,
    calibrate,
    held_out,
    multiplier,
    summarise,
    without_offsets,
)
from repvit_nas.predictors.ensemble import Design, Expected, design
from repvit_nas.predictors.fit_device import find_assumptions
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.validation import read_validation
from repvit_nas.search_space import family

# arXiv:2307.09283v8 Tables 1 and 7, iPhone 12, ms.
PUBLISHED = {
    "repvit_m0_9": 0.87,
    "repvit_m1_0": 1.0,
    "repvit_m1_1": 1.1,
    "repvit_m1_5": 1.52,
    "repvit_m2_3": 2.3,
}


def test_the_shipped_fit_is_what_the_command_makes(fitted):
    """Up to what another processor rounds otherwise."""
    shipped = read_validation(ROOT / "predictors" / "iphone12" / "validation.json")

    assert fitted.file.fitted_on == load_predictor("iphone12")[0].model.fitted_on
    for ours, theirs in zip(fitted.validation.checks, shipped.checks, strict=True):
        assert ours.name == theirs.name
        assert ours.in_sample_ms == pytest.approx(theirs.in_sample_ms, rel=0.01)
        assert ours.without_family_ms == pytest.approx(theirs.without_family_ms, rel=0.02)


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_each_reference_is_within_5_percent_of_its_published_latency(name, published):
    predicted = load_predictor("iphone12")[0].estimate(family()[name].architecture).latency_ms

    assert predicted == pytest.approx(published, rel=0.05)


def test_its_reach_without_own_family_and_without_lookalikes(fitted):
    """RepNeXt has RepViT's widths and depths; only without both is RepViT truly unseen."""
    summaries = fitted.validation.summaries

    assert summaries["repvit"].without_family_percent <= 4.0
    assert summaries["all"].without_family_percent <= 7.5
    assert summaries["repvit"].without_lookalikes_percent <= 5.5
    assert summaries["repnext"].without_lookalikes_percent <= 4.0


def test_what_is_known_of_the_engine_helps_where_nothing_else_does(fitted):
    pinned, free = fitted.validation.summaries, fitted.validation.rates_free

    for name in ("repvit", "repnext"):
        assert pinned[name].without_lookalikes_percent < free[name].without_lookalikes_percent
    assert pinned.keys() == free.keys()


def test_backbones_at_512_px_are_within_12_percent(fitted):
    large = [check for check in fitted.validation.checks if check.resolution == 512]

    assert {check.family for check in large} >= {"repvit", "repnext", "resnet"}
    for check in large:
        wide = 0.17 if check.family == "resnet" else 0.12  # dense networks: 10 % is assumed of them
        assert check.in_sample_ms == pytest.approx(check.published_ms, rel=wide)


def test_the_interval_at_1_ms_is_at_most_7_percent():
    found = load_predictor("iphone12")[0].estimate(family()["repvit_m1_0"].architecture)

    assert (found.high_ms - found.low_ms) / 2 / found.latency_ms < 0.07


def test_se_costs_in_the_published_order_and_spacing(fitted):
    """Published: none 0.83, alternate 0.87, all 0.92 ms: 0.04 and 0.05 apart, each to 0.01."""
    by_name = {check.name: check.in_sample_ms for check in fitted.validation.checks}
    none, alternate, every = (
        by_name[name] for name in ("repvit_m0_9 se=none", "repvit_m0_9", "repvit_m0_9 se=all")
    )

    assert alternate - none == pytest.approx(0.04, abs=0.01)
    assert every - alternate == pytest.approx(0.05, abs=0.01)


def test_intervals_hold_for_networks_that_neither_fit_nor_calibration_saw(fitted):
    """RepViT and RepNeXt have the shapes that intervals are for."""
    for family_name in ("repvit", "repnext"):
        checks = [c for c in fitted.validation.checks if c.family == family_name]
        inside = np.mean([c.low_ms <= c.published_ms <= c.high_ms for c in checks])

        assert len(checks) == 12
        assert inside >= 10 / 12
        assert fitted.validation.summaries[family_name].coverage_percent == pytest.approx(
            100 * inside, abs=0.1
        )


def test_the_interval_a_user_sees_is_the_one_that_was_checked(fitted):
    """Through the shipped predictor: ensembles that never saw a network, its half width around."""
    device = load_device("iphone12")
    observations = read_observations(device.path("published.csv"))
    assumptions = files.read_json(find_assumptions(device), Assumptions)
    problem = design(observations, assumptions)
    held = held_out(problem, [item.network for item in observations])
    predictor = fitted.predictor

    inside = [
        abs(mean - item.latency_ms)
        <= predictor.half_width(mean, variance, item.resolution) + 2 * item.error_ms
        for item, mean, variance in zip(observations, held.mean_ms, held.variance, strict=True)
        if item.family in LOOKALIKES
    ]

    assert len(inside) == 24
    assert 0.83 <= np.mean(inside) <= 1.0


def observation(name, latency_ms, family_name="repvit"):
    return Observation(name, name, family_name, 224, (), latency_ms, 0.0, "t", "s")


def test_the_multiplier_is_the_conformal_quantile():
    """100 errors of 1 to 100 deviations: 91 of 101 ranks must be covered."""
    items = [observation(f"n{k}", 10.0 + k) for k in range(1, 101)]
    held = HeldOut(np.full(100, 10.0), np.zeros(100))
    own = np.full(100, 0.01)  # a deviation of 1 ms

    found = calibrate(items, held, own)

    assert found.quantile == pytest.approx(91.0)
    assert found.deviation_ms == pytest.approx(np.ones(100))
    # Without the network itself, 90 of 100 ranks of the other 99.
    assert found.each[98] == pytest.approx(90.0)
    assert found.each[0] == pytest.approx(91.0)


def test_other_families_do_not_calibrate():
    items = [observation(f"n{k}", 11.0) for k in range(12)]
    items += [observation(f"o{k}", 50.0, "mobilenet") for k in range(12)]
    held = HeldOut(np.full(24, 10.0), np.zeros(24))

    assert calibrate(items, held, np.full(24, 0.01)).quantile == 1.645


def error_model(**offset):
    return ErrorModel(
        repeat=0.0, misfit={"other": 0.0}, shared={"other": 0.0}, offset={"other": 0.0, **offset},
        large=0.0, variants=0.0,
    )  # fmt: skip


def test_what_a_source_is_off_as_a_whole_says_nothing_of_intervals():
    """Closed form: the mean of `n` ratios, drawn to nothing by an offset of 6 % before any."""
    items = [observation(f"n{k}", 10.8) for k in range(4)] + [observation("o", 10.8, "resnet")]
    held, own = HeldOut(np.full(5, 10.0), np.zeros(5)), np.full(5, 0.02**2)
    errors = error_model(t=0.06)

    found = [item.latency_ms for item in without_offsets(items, held, own, errors)]

    weight = 4 / 0.02**2
    off = math.exp(math.log(1.08) * weight / (weight + 1 / 0.06**2))
    assert found[:4] == pytest.approx([10.8 / off] * 4)
    assert found[4] == 10.8  # how far other families are off is part of their variance
    assert without_offsets(items, held, own, error_model()) == items


def test_what_has_no_group_is_in_every_fit(monkeypatch):
    sizes = []

    def fitted(problem, **_):
        sizes.append(len(problem.latency_ms))
        return []

    monkeypatch.setattr("repvit_nas.predictors.cross_validation.fit", fitted)
    problem = Design(
        [], np.zeros((0, 4, 1)), np.ones(4), np.eye(4), Expected(np.zeros(1), np.ones(1))
    )

    found = held_out(problem, ["a", "b", "a", ""], predict=lambda *_: np.ones((4, 2)))

    assert sizes == [2, 3]  # without both of a, without b
    assert np.isnan(found.mean_ms).tolist() == [False, False, False, True]


def test_a_lucky_sample_does_not_narrow_the_interval_below_normal():
    assert multiplier(np.zeros(20)) == 1.645


def test_a_summary_averages_absolute_errors(fitted):
    checks = [c for c in fitted.validation.checks if c.family == "starnet"]
    summary = summarise(checks)["starnet"]

    expected = 100 * np.mean([abs(c.in_sample_ms / c.published_ms - 1) for c in checks])
    assert summary.in_sample_percent == pytest.approx(expected, abs=0.006)
    assert summary.networks == 3
