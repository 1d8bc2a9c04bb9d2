import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from support import ROOT, architectures

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.features import columns, compute_octaves, describe, stage_weights
from repvit_nas.accuracy.priors import CURVED, SHAPE_FEATURES, STAGE_SHARE, STAGE_WEIGHT
from repvit_nas.search_space import family
from repvit_nas.shapes import shapes_of
from repvit_nas.units import Stem, rows


def described(*networks):
    return describe(shapes_of(networks))


def features(network, exponent=0.6):
    return dict(zip(SHAPE_FEATURES, columns(described(network), exponent)[0], strict=True))


def changed(network, stage, **fields):
    stages = list(network.stages)
    stages[stage] = msgspec.structs.replace(stages[stage], **fields)
    return msgspec.structs.replace(network, stages=tuple(stages))


M1_0 = family()["repvit_m1_0"].architecture


def test_features_are_zero_on_the_curve():
    deviations = dict(zip(CURVED, described(M1_0).off_curve[0], strict=True))

    assert deviations == pytest.approx(dict.fromkeys(CURVED, 0.0), abs=1e-12)


def test_compute_is_the_log_of_macs_where_the_shares_are_the_familys():
    """MACs of all pointwise convolutions in octaves above 1e9, by the units themselves."""
    for name in ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5"):
        architecture = family()[name].architecture
        macs = sum(u.macs for u in rows(architecture) if not isinstance(u, Stem))
        octaves = compute_octaves(described(architecture))[0]

        assert octaves == pytest.approx(np.log2(macs / 1e9), abs=0.1)
    assert stage_weights(STAGE_SHARE) == pytest.approx(STAGE_WEIGHT)
    assert STAGE_SHARE.sum() == pytest.approx(1.0)


def test_doubling_one_stage_is_worth_its_weight():
    base = changed(M1_0, 3, depth=4, se="1010")
    # The last stage alone at twice its expansion has twice the MACs in blocks and FFN.
    wide = changed(base, 3, expansion=4.0)
    gained = np.diff(compute_octaves(described(base, wide)))[0]

    assert 0.8 * STAGE_WEIGHT[3] < gained < STAGE_WEIGHT[3] + 1e-9


def test_a_stages_worth_is_the_slope_of_its_weight():
    """Shifting the weights moves the compute term by the `stage` features, to first order."""
    exponent, step = 0.6, 1e-5
    shapes = described(changed(M1_0, 3, width=600))
    found = columns(shapes, exponent)[0]
    weight = stage_weights(shapes.share)
    for stage in range(4):
        # One more unit of worth for this stage, and the weights sum to one again.
        moved = weight + step * shapes.share * (np.arange(4) == stage)
        octaves = shapes.log_macs[0] @ (moved / moved.sum())
        slope = (-np.exp2(-exponent * octaves) - found[1]) / step

        assert slope == pytest.approx(found[2 + stage], rel=1e-3)


def test_the_order_is_that_of_a_power_mean():
    """The mean of order p of the stages' MACs, in octaves, for small p."""
    exponent, order = 0.6, 1e-4
    shapes = described(changed(M1_0, 3, width=600))
    found = columns(shapes, exponent)[0]
    mean = np.exp2(order * shapes.log_macs[0]) @ stage_weights(shapes.share)
    slope = (-np.exp2(-exponent * np.log2(mean) / order) - found[1]) / order

    assert slope == pytest.approx(found[SHAPE_FEATURES.index("order")], rel=1e-2)


def test_se_shrinks_with_the_compute_term():
    def with_se(name):
        network = family()[name].architecture
        for stage in range(4):
            network = changed(network, stage, se="1" * network.stages[stage].depth)
        return features(network)

    small, large = with_se("repvit_m0_9"), with_se("repvit_m1_5")

    assert features(M1_0)["se"] == pytest.approx(0.0)  # every other block
    assert 0 < large["se"] < small["se"]
    assert large["se"] / small["se"] == pytest.approx(large["compute"] / small["compute"])


@given(architectures(max_width=256, max_depth=20, resolutions=(160, 512)))
def test_every_feature_has_a_finite_column(architecture):
    found = columns(described(architecture), 0.6)

    assert found.shape == (1, len(SHAPE_FEATURES))
    assert np.isfinite(found).all()


def test_a_plain_stage_costs_half_a_point_whatever_its_expansion_would_open():
    """arXiv:2307.09283v8, section 3.3: 73.9 to 75.4 by three deep openings of expansion 2."""
    estimator = load_family_estimator()
    opened = [
        M1_0,
        changed(M1_0, 2, downsample="plain"),
        plain := changed(
            changed(changed(M1_0, 1, downsample="plain"), 2, downsample="plain"),
            3,
            downsample="plain",
        ),
    ]
    found = estimator.estimate(shapes_of(opened))

    assert (found.mean - found.mean[0]).tolist() == pytest.approx([0, -0.5, -1.5])
    assert (found.std**2 - found.std[0] ** 2).tolist() == pytest.approx([0, 0.16, 0.48])
    wide = changed(M1_0, 2, expansion=4.0)
    deep, without = estimator.estimate(shapes_of([wide, changed(wide, 2, downsample="plain")])).mean
    assert deep - without > 0.5  # what an opening of expansion 4 has more than one of 2
    both = estimator.covariance(shapes_of([M1_0, plain]))
    assert both[0, 1] == pytest.approx(estimator.covariance(shapes_of([M1_0, M1_0]))[0, 1])
    assert both[1, 1] - both[0, 0] == pytest.approx(0.48)


def test_the_estimator_is_still_that_of_the_shipped_run():
    run = json.loads((ROOT / "results" / "iphone12-1.0ms" / "run.json").read_text())

    assert load_family_estimator().digest == run["inputs"]["accuracy family"]
