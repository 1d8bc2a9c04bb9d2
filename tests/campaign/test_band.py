import numpy as np
import pytest

from repvit_nas.campaign.band import Band
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.space import load_space


@pytest.fixture
def band():
    def build(budgets, width=0.1):
        predictors = [load_predictor(device, foreign=True)[0] for device in budgets]
        space = load_space("coarse")[0]
        return Band(space, predictors, budgets, width, resolution=224, num_classes=10)

    return build


def test_drawn_networks_are_different_and_within_the_band(band):
    drawn = band({"iphone12": 1.0}).draw(40, np.random.default_rng(0))

    assert len(np.unique(drawn.choices, axis=0)) == 40
    assert np.all((drawn.latency_ms >= 0.9) & (drawn.latency_ms <= 1.0))
    assert np.all(np.diff(band({"iphone12": 1.0}).shapes(drawn.choices).width, axis=1) >= 0)


def test_what_a_network_costs_is_what_its_predictor_says(band):
    one = band({"iphone12": 1.0})
    drawn = one.draw(1, np.random.default_rng(1))
    estimate = load_predictor("iphone12")[0].estimate(one.shapes(drawn.choices).architecture(0))

    assert drawn.latency_ms[0, 0] == pytest.approx(estimate.latency_ms)


def test_a_band_on_two_devices_keeps_both_budgets(band):
    drawn = band({"iphone12": 1.0, "iphone13": 0.9}).draw(20, np.random.default_rng(0))

    assert np.all(drawn.latency_ms <= [1.0, 0.9])
    assert np.all((drawn.latency_ms / [1.0, 0.9]).max(axis=1) >= 0.9)


def test_an_empty_band_names_the_nearest_networks(band):
    with pytest.raises(
        RepvitNasError, match=r"holds 0 networks .* the nearest networks have 0\.\d"
    ):
        band({"iphone12": 0.2}).draw(5, np.random.default_rng(0))
