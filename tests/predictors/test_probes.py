"""What a fit says where no cross-validation looks."""

import numpy as np
import pytest

from repvit_nas.latency_lut.device import load_device
from repvit_nas.predictors.fit_device import fit_device


def probe(fitted, title):
    (found,) = [probe for probe in fitted.validation.probes if probe.title == title]
    return found


def test_larger_inputs_are_told_from_small_ones(fitted):
    found = probe(fitted, "rows above 320 px left out")

    assert len(found.checks) == 11
    assert found.error_percent <= 6.5


def test_what_se_costs_is_told_without_the_ablation(fitted):
    """Published: 0.83, 0.87 and 0.92 ms."""
    (none, first), (alternate, second) = probe(fitted, "variants of repvit_m0_9 left out").steps()

    assert (none, alternate) == (pytest.approx(0.04), pytest.approx(0.05))
    assert first == pytest.approx(0.04, rel=0.3)
    assert second == pytest.approx(0.05, rel=0.3)


def test_the_path_from_mobilenetv3_is_told_by_a_fit_that_saw_none_of_it(fitted):
    """arXiv:2307.09283 Fig. 2: eleven networks, nine steps."""
    found = probe(fitted, "path of networks, never fitted")

    assert len(found.checks) == 11
    assert found.error_percent <= 6.0
    assert found.coverage_percent >= 85
    assert [round(published, 2) for published, _ in found.steps()] == [
        -0.20, -0.16, 0.24, -0.03, 0.10, -0.19, 0.14, -0.02, -0.02
    ]  # fmt: skip
    assert all(published * predicted > 0 for published, predicted in found.steps())


def test_another_phone_is_told_from_this_one_with_its_clock_alone():
    """Nothing is refitted. At 512 px it depends on what stays on the chip."""
    other = fit_device(load_device("iphone13"))
    transferred = probe(other, "transferred from iphone12").checks
    small = [check for check in transferred if "@" not in check.name]

    assert len(small) == 5
    assert 100 * np.mean([abs(c.predicted_ms / c.published_ms - 1) for c in small]) <= 6
    assert probe(other, "transferred from iphone12, nothing off the chip").error_percent <= 6
