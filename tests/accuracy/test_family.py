import msgspec
import numpy as np
import pytest
from hypothesis import given
from support import architectures

from repvit_nas.accuracy.estimator import meaning_at
from repvit_nas.accuracy.family import FamilyEstimator, leave_one_out, load_family_estimator
from repvit_nas.accuracy.priors import NOISE
from repvit_nas.architecture import Architecture, Stage, se_bits
from repvit_nas.search_space import load_space
from repvit_nas.search_space.family import published_accuracies
from repvit_nas.shapes import shapes_of
from repvit_nas.units import rows


def network(width=(48, 96, 192, 384), depth=(2, 2, 14, 2), se="10", expansion=2.0, **fields):
    return Architecture(
        stages=tuple(
            Stage(width=w, depth=d, se=se_bits(se, d), expansion=expansion)
            for w, d in zip(width, depth, strict=True)
        ),
        **fields,
    )


def estimate(*networks):
    return load_family_estimator().estimate(shapes_of(networks))


def test_the_family_is_described_to_a_few_tenths():
    rows_ = [row for row in published_accuracies() if row.recipe == "distilled-300"]
    estimates = estimate(*(row.architecture for row in rows_ if row.family == "repvit"))

    for row, mean in zip([r for r in rows_ if r.family == "repvit"], estimates.mean, strict=True):
        assert mean == pytest.approx(row.top1, abs=0.25), row.network


def test_networks_left_out_fall_inside_the_deviation():
    """Leave-one-network-out errors in deviations: none beyond 2.5, their mean square about 1."""
    scores = np.array([(left.row.top1 - left.mean) / left.std for left in leave_one_out()])

    assert len(scores) == 10
    assert np.abs(scores).max() < 2.5
    assert 0.1 < np.mean(scores**2) < 1.5


def test_the_deviation_grows_with_every_octave_from_the_curve():
    def std(growth):
        wide = 8 * round(48 * 2**growth / 8)
        return estimate(network(width=(48, 96, 192, max(wide, 8) * 8))).std[0]

    steps = [std(growth) for growth in (0.0, 0.5, 1.0, 1.5)]

    assert steps == sorted(steps)
    assert steps[-1] > 3 * steps[0]


def test_channels_piled_into_the_last_stage_do_not_pay():
    """The trap: parameters are cheap in milliseconds there, and a power law in them believes it."""
    balanced = network()
    piled = network(width=(32, 64, 128, 640), depth=(1, 1, 6, 4))
    params = [sum(unit.params for unit in rows(n)) for n in (balanced, piled)]
    estimates = estimate(balanced, piled)
    bounds = estimates.mean - estimates.std

    assert params[1] > 1.5 * params[0]
    assert bounds[1] < bounds[0] - 5


def test_se_is_worth_half_on_a_larger_network():
    """SE's effect shrinks as networks grow: on M1.5 about half of what it is on M0.9."""

    def gain(**shape):
        none, half = (estimate(network(se=se, **shape)).mean[0] for se in ("0", "10"))
        return half - none

    large = gain(width=(64, 128, 256, 512), depth=(4, 4, 24, 4))

    assert 0.4 < large / gain() < 0.65


def test_an_estimate_at_another_resolution_is_that_of_training_there():
    """EfficientNet (arXiv:1905.11946) Table 3 and 7: 1.5 to 2.1 points from 224 to 448 px."""
    at_224, at_448 = (estimate(network(resolution=side)) for side in (224, 448))
    gained = at_448.mean[0] - at_224.mean[0]

    assert 1.3 < gained < 2.2
    assert at_448.std[0] > 0.5
    assert "trained and tested at 448 px" in meaning_at(load_family_estimator(), 448)
    assert meaning_at(load_family_estimator(), 224) == load_family_estimator().meaning


def test_se_is_worth_what_its_ablation_says():
    """arXiv:2307.09283v8 Table 7: 77.92 without, 78.74 in every other block, 78.75 in all."""
    none, half, every = (estimate(network(se=se)).mean[0] for se in ("0", "10", "1"))

    assert half - none == pytest.approx(78.74 - 77.92, abs=0.15)
    assert every - half == pytest.approx(78.75 - 78.74, abs=0.15)


def test_the_deviation_is_never_below_the_noise_of_one_training():
    space, _ = load_space("repvit")
    shapes = space.decode(space.sample(np.random.default_rng(0), 2000))

    estimates = load_family_estimator().estimate(shapes)

    assert (estimates.std >= NOISE).all()
    assert np.isfinite(estimates.mean).all()


@given(architectures(max_width=256, max_depth=20, resolutions=(160, 512)))
def test_any_network_gets_a_finite_estimate(architecture):
    estimates = estimate(architecture)

    assert np.isfinite(estimates.mean).all()
    assert estimates.std[0] > 0


def test_many_are_estimated_as_one():
    networks = [network(), network(se="1"), network(depth=(1, 3, 20, 2))]
    together = estimate(*networks)

    for row, single in enumerate(networks):
        assert estimate(single).mean[0] == pytest.approx(together.mean[row])
        assert estimate(single).std[0] == pytest.approx(together.std[row])


def test_without_data_the_estimate_is_the_prior():
    prior = FamilyEstimator(published_accuracies()[:1])
    learned = load_family_estimator()
    shapes = shapes_of([network(width=(64, 128, 256, 512), depth=(4, 4, 24, 4))])

    assert prior.estimate(shapes).std[0] > 3 * learned.estimate(shapes).std[0]


def test_unpublished_placements_of_se_are_known_less_well():
    """Seven of fourteen blocks with SE: every other one was published, the first seven were not."""
    published, bunched = (
        estimate(
            msgspec.structs.replace(
                network(),
                stages=tuple(
                    msgspec.structs.replace(stage, se=se) if stage.depth == 14 else stage
                    for stage in network().stages
                ),
            )
        )
        for se in ("10" * 7, "1" * 7 + "0" * 7)
    )

    assert bunched.mean == pytest.approx(published.mean)
    assert bunched.std[0] > published.std[0] + 0.02
