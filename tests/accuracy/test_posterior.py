import msgspec
import numpy as np
import pytest

from repvit_nas.accuracy.comparison import inside, kendall
from repvit_nas.accuracy.posterior import donor_distance, features, learn
from repvit_nas.accuracy.priors import SHAPE_FEATURES, elsewhere
from repvit_nas.accuracy.regression import line, predict
from repvit_nas.accuracy.responses import responses
from repvit_nas.accuracy.trained import family_beside
from repvit_nas.shapes import shapes_of


class World:
    """Images on which accuracies follow the family's features, with effects of their own."""

    def __init__(self, networks, observation, seed, scale=1.0):
        self.rng = np.random.default_rng(seed)
        self.networks = networks(400, seed)
        self.observation = observation
        self.family = family_beside(self.networks)
        moved = elsewhere(self.family.effects)
        values, vectors = np.linalg.eigh(moved.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        effects = moved.mean + root @ self.rng.standard_normal(len(values))
        matrix = features(shapes_of(self.networks), self.family.exponent, self.family.usual)
        truth = scale * matrix @ effects + self.rng.normal(0, 0.2, len(matrix))
        self.truth = truth - truth.mean() + 50

    def seen(self, count, noise=0.3, **changes):
        return [
            self.observation(
                self.networks[row],
                float(np.clip(self.truth[row] + self.rng.normal(0, noise), 0, 100)),
                top1_sd=0.1,
                **changes,
            )
            for row in range(count)
        ]

    def predicted(self, observations):
        learned = learn(self.family, observations, responses(observations, None))
        rest = slice(200, 400)
        matrix = learned.columns(shapes_of(self.networks[rest]))
        mean, variance = predict(line(learned.effects), matrix)
        return learned, mean, np.sqrt(variance + learned.misfit**2), self.truth[rest]


def opened(network, plain):
    """Return a network whose stages 1 to 3 open with a downsample alone where `plain` says so."""
    kinds = ["deep", *("plain" if each else "deep" for each in plain)]
    stages = zip(network.stages, kinds, strict=True)
    return msgspec.structs.replace(
        network,
        stages=tuple(msgspec.structs.replace(stage, downsample=kind) for stage, kind in stages),
    )


@pytest.fixture
def world(networks, observation):
    return lambda seed, scale=1.0: World(networks, observation, seed, scale)


def test_trainings_rank_other_networks_better_than_the_family(world):
    gains = []
    for seed in range(4):
        one = world(seed)
        _, mean, _, truth = one.predicted(one.seen(32))
        alone = one.predicted(one.seen(2))[1]
        gains.append(kendall(mean, truth) - kendall(alone, truth))

    assert np.mean(gains) > 0.05


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_intervals_hold_whatever_the_spread_of_the_data_set(world, scale):
    held = []
    for seed in range(6):
        one = world(seed, scale)
        _, mean, std, truth = one.predicted(one.seen(24))
        held.append(inside(mean, std, truth).mean())

    assert 0.8 <= np.mean(held) <= 0.99


def test_what_two_seeds_differ_by_is_the_noise(world):
    one = world(0)
    pairs = one.seen(12, noise=1.5, seed=0) + one.seen(12, noise=1.5, seed=1)

    assert one.predicted(pairs)[0].noise == pytest.approx(1.5, rel=0.5)
    quiet = one.seen(12, noise=0.05, seed=0) + one.seen(12, noise=0.05, seed=1)
    assert one.predicted(quiet)[0].noise < 0.3


def test_a_short_training_under_credits_se(world):
    """0.81 of its effect is seen, so it is more, and less sure."""
    place = SHAPE_FEATURES.index("se")
    variances = []
    for seed in range(3):
        one, found = world(seed), []
        for short in (True, False):
            one.rng = np.random.default_rng(9)  # the same noise
            found.append(one.predicted(one.seen(100, noise=0.01, short=short))[0].effects)
        assert found[0].mean[place] > found[1].mean[place]
        variances.append([effects.covariance[place, place] for effects in found])

    short, full = np.mean(variances, axis=0)
    assert short > full


def test_networks_far_from_the_donor_are_not_punished_for_it(world, networks):
    one = world(2)
    donor = one.networks[0]
    biased, plain = [], one.seen(60, noise=0.01)
    for each in plain[1:]:
        changed = one.observation(each.architecture, each.top1, start="donor", donor=donor)
        worse = each.top1 - 0.5 * donor_distance(changed)
        biased.append(
            one.observation(
                each.architecture, max(worse, 0.0), start="donor", donor=donor, top1_sd=0.1
            )
        )
    _, fair, _, truth = one.predicted(biased)
    without = [one.observation(each.architecture, each.top1, top1_sd=0.1) for each in biased]
    _, unfair, _, _ = one.predicted(without)

    assert kendall(fair, truth) > kendall(unfair, truth)


def test_a_network_is_no_octave_from_itself(networks, observation):
    one, other = networks(2)

    assert donor_distance(observation(one, donor=one)) == 0
    assert donor_distance(observation(one)) == 0
    assert donor_distance(observation(one, donor=other)) > 0.5


def test_trainings_teach_what_plain_openings_lose(networks, observation):
    """Each loses two points on these images; the family believes half a point."""
    rng = np.random.default_rng(0)
    deep = [one for one in networks(800) if max(each.expansion for each in one.stages) <= 3][:80]
    family = family_beside(deep)
    told = features(shapes_of(deep), family.exponent, family.usual) @ family.effects.mean
    plain = rng.integers(2, size=(len(deep), 3))
    truth = told - told.mean() + 60 - 2.0 * plain.sum(axis=1)
    mixed = [opened(network, which) for network, which in zip(deep, plain, strict=True)]
    seen = [
        observation(network, float(top1 + rng.normal(0, 0.3)), top1_sd=0.3)
        for network, top1 in zip(mixed[:40], truth[:40], strict=True)
    ]

    learned = learn(family, seen, responses(seen, None))
    given = line(learned.effects)
    mean, variance = predict(given, learned.columns(shapes_of(mixed[40:])))
    as_deep = predict(given, learned.columns(shapes_of(deep[40:]))).mean

    lost = np.linalg.lstsq(plain[40:].astype(float), as_deep - mean)[0]
    assert lost == pytest.approx([2.0] * 3, abs=0.4)
    assert mean == pytest.approx(truth[40:], abs=1.0)
    assert inside(mean, np.sqrt(variance + learned.misfit**2), truth[40:]).mean() >= 0.85
