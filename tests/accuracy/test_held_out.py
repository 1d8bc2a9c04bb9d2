import numpy as np
import pytest

from repvit_nas.accuracy import trained
from repvit_nas.accuracy.held_out import SEEDS, truth_of, validate
from repvit_nas.accuracy.posterior import features
from repvit_nas.errors import RepvitNasError
from repvit_nas.shapes import shapes_of


@pytest.fixture
def world(networks, observation, tmp_path):
    """Trainings that follow the family's features: 40 seen, 12 held out with two seeds."""
    drawn = networks(52)
    family = trained.family_beside(drawn)
    truth = features(shapes_of(drawn), family.exponent, family.usual) @ family.effects.mean
    truth += 50 - truth.mean()
    rng = np.random.default_rng(0)
    seen = [
        observation(network, float(value), top1_sd=0.3)
        for network, value in zip(drawn[:40], truth[:40] + rng.normal(0, 0.2, 40), strict=True)
    ]
    held_out = [
        observation(
            network, float(value + rng.normal(0, 0.2)), seed=seed, held_out=True, source=f"{seed}"
        )
        for seed in (0, 1)
        for network, value in zip(drawn[40:], truth[40:], strict=True)
    ]
    estimator = trained.TrainedEstimator(trained.fit("plants", seen, tmp_path), seen)
    return estimator, held_out


def test_an_estimator_is_compared_beside_the_baselines(world):
    estimator, held_out = world
    truth = truth_of(held_out, None)
    found = validate(estimator, truth, other_scores={"latency": np.arange(12.0)})

    assert found.networks == 12
    assert found.trainings == 24
    assert found.rankings["estimator"].tau > 0.7
    assert found.rankings["estimator"].tau > found.rankings["parameters"].tau
    assert set(found.rankings) == {
        *(
            "estimator",
            "family alone",
            "share-weighted log-MACs",
            "MACs",
            "parameters",
            "latency",
            SEEDS,
        )
    }
    assert found.coverage > 0.7
    assert found.level is None


def test_one_seed_by_another_is_of_the_networks_that_have_both(world):
    estimator, held_out = world
    some = held_out[: 12 + 6]

    truth = truth_of(some, None)
    assert truth.by_seed.shape == (2, 6)
    assert truth.trainings.tolist() == [2.0] * 6 + [1.0] * 6
    assert SEEDS in validate(estimator, truth).rankings
    assert SEEDS not in validate(estimator, truth_of(held_out[:16], None)).rankings


def test_another_recipe_moves_the_level_not_the_order(world, observation):
    estimator, held_out = world
    moved = [
        observation(
            each.architecture, each.top1 + 20, seed=each.seed, held_out=True, source=each.source
        )
        for each in held_out
    ]
    found = validate(estimator, truth_of(moved, None), other_recipe=True)

    assert found.level == pytest.approx(20, abs=1)
    assert found.coverage > 0.7


def test_too_few_networks_tell_nothing(world):
    estimator, held_out = world

    with pytest.raises(RepvitNasError, match="4 held-out networks tell nothing"):
        validate(estimator, truth_of(held_out[:4], None))
