import msgspec
import numpy as np
import pytest

from repvit_nas.accuracy.features import columns, describe
from repvit_nas.accuracy.priors import (
    OVERLAPS,
    PRIORS,
    SHAPE_FEATURES,
    STAGE_WEIGHT,
    elsewhere,
    prior,
)
from repvit_nas.accuracy.regression import Normal
from repvit_nas.search_space import family
from repvit_nas.shapes import shapes_of

STAGE_3 = SHAPE_FEATURES.index("stage_3")


def features(network):
    return columns(describe(shapes_of([network])), 0.6)[0]


def test_every_prior_says_what_it_rests_on():
    assert all(prior.rests_on and prior.std > 0 for prior in PRIORS.values())


@pytest.mark.parametrize(
    ("name", "changes"), [("growth_3", {"width": 456}), ("depth_3", {"depth": 3, "se": "101"})]
)
def test_an_octave_moves_the_last_stage_by_its_overlap(name, changes):
    base = family()["repvit_m1_0"].architecture
    stages = (*base.stages[:3], msgspec.structs.replace(base.stages[3], **changes))
    moved = features(msgspec.structs.replace(base, stages=stages)) - features(base)

    assert moved[STAGE_3] / moved[SHAPE_FEATURES.index(name)] == pytest.approx(
        OVERLAPS[name], abs=0.005
    )


@pytest.mark.parametrize("name", list(OVERLAPS))
def test_the_worth_of_the_last_stage_is_not_counted_twice(name):
    """All that an octave does, its share of the stage's worth included, deviates as stated."""
    octave = np.zeros(len(PRIORS))
    octave[list(PRIORS).index(name)] = 1.0
    octave[list(PRIORS).index("stage_3")] = OVERLAPS[name]

    assert np.sqrt(octave @ prior().covariance @ octave) == pytest.approx(PRIORS[name].std)


def test_the_prior_is_a_distribution():
    assert np.linalg.eigvalsh(prior().covariance).min() > 0
    assert STAGE_WEIGHT.sum() == pytest.approx(1.0)


def test_elsewhere_the_slope_may_be_negative_and_shapes_stay_as_sure():
    size = len(SHAPE_FEATURES)
    here = Normal(prior().mean[:size], prior().covariance[:size, :size])
    added = np.sqrt(np.diag(elsewhere(here).covariance - here.covariance))
    of = dict(zip(SHAPE_FEATURES, added, strict=True))

    assert of["compute"] == pytest.approx(0.7 * PRIORS["compute"].mean)
    assert of["limit"] > 20
    assert of["stage_0"] > 0
    assert of["se"] == of["growth_1"] == of["kernel"] == 0
    assert (elsewhere(here).mean == here.mean).all()
