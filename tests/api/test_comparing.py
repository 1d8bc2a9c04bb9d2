import json

import msgspec
import numpy as np
import pytest
from matplotlib.figure import Figure

import repvit_nas
from repvit_nas.commands import main
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import load_predictor


def widened(name, stage, by):
    """Return a reference network with one stage wider."""
    network = repvit_nas.load_architecture(name)
    stages = list(network.stages)
    stages[stage] = msgspec.structs.replace(stages[stage], width=stages[stage].width + by)
    return msgspec.structs.replace(network, name="wider", stages=tuple(stages))


def test_a_network_does_not_differ_from_itself():
    latency, accuracy = repvit_nas.compare("repvit_m1_0", "repvit_m1_0")

    assert (latency.difference, latency.low, latency.high) == (0.0, 0.0, 0.0)
    assert latency.chance == 0.5
    assert accuracy.difference == 0.0
    assert not latency.settled
    assert not accuracy.settled


def test_what_networks_share_does_not_blur_their_difference():
    """The wider network shares three stages of four, so far less than two errors is in doubt."""
    one, other = repvit_nas.load_architecture("repvit_m1_0"), widened("repvit_m1_0", 3, 8)

    latency = repvit_nas.compare(one, other).differences[0]

    halves = [found.high_ms - found.latency_ms for found in repvit_nas.predict([one, other])]
    assert latency.high - latency.difference < 0.6 * np.hypot(*halves)
    assert latency.difference == pytest.approx(
        repvit_nas.predict(one).latency_ms - repvit_nas.predict(other).latency_ms
    )


def test_networks_that_share_no_unit_deviate_independently():
    """M0.9 and a network of half its resolution have no unit in common."""
    one = repvit_nas.load_architecture("repvit_m0_9")
    other = msgspec.structs.replace(one, resolution=320, num_classes=10)
    predictor, _ = load_predictor("iphone12")

    latency = repvit_nas.compare(one, other).differences[0]

    totals = [predictor.totals(dict(repvit_nas_count(network))) for network in (one, other)]
    own = [predictor.misfit(224) * total.mean() for total in totals]
    sd = np.sqrt((totals[0] - totals[1]).var() + own[0] ** 2 + own[1] ** 2)
    assert latency.high - latency.difference == pytest.approx(predictor.multiplier(0.9) * sd)


def repvit_nas_count(network):
    from repvit_nas.units import count, rows

    return count(rows(network))


def test_far_networks_are_settled_and_the_verdict_names_the_better():
    found = repvit_nas.compare("repvit_m0_9", "repvit_m2_3", device=["iphone12", "iphone13"])

    assert [each.device for each in found] == ["iphone12", "iphone13", ""]
    assert [each.better for each in found] == ["repvit_m0_9", "repvit_m0_9", "repvit_m2_3"]
    assert all(each.settled for each in found)
    assert found.differences[0].chance > 0.999
    assert found.differences[2].chance < 0.001
    assert "repvit_m0_9 is faster than repvit_m2_3" in str(found)
    assert [each.source for each in found] == ["modelled", "modelled", "estimated"]
    assert "latency on iphone12, modelled: " in str(found)
    assert "accuracy, estimated: " in str(found)
    assert found.plot(Figure().subplots()).get_xlabel().startswith("difference")


def test_a_search_stands_for_its_best_and_names_that_are_alike_are_told_apart(found):
    best = found.best.architecture
    twice = repvit_nas.compare(found, best, "repvit_m1_0")

    assert len(twice) == 3 * 2
    assert twice.differences[0].first == f"{best.name} (1)"
    assert twice.differences[0].second == f"{best.name} (2)"
    assert list(twice.to_frame()["settled"]) == [each.settled for each in twice]


@pytest.mark.parametrize(
    ("networks", "named", "said"),
    [
        (("repvit_m1_0",), {}, "two networks or more; got 1"),
        (("repvit_m1_0", 5), {}, "got int: 5"),
        (("repvit_m1_0", "repvit_m0_9"), {"interval": 2}, "confidence must be above 0"),
        (("repvit_m1_0", "repvit_m0_9"), {"device": 5}, "got int: 5"),
    ],
)
def test_what_cannot_be_compared_is_said(networks, named, said):
    with pytest.raises(RepvitNasError, match=said):
        repvit_nas.compare(*networks, **named)


def test_the_command_compares_a_run_with_a_reference(elsewhere, capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", "results/iphone12-1.0ms", "repvit_m0_9", "--json"])
    document = json.loads(capsys.readouterr().out)
    best = repvit_nas.read("results/iphone12-1.0ms").best.architecture.name

    assert end.value.code == 0
    assert [(row["first"], row["second"]) for row in document["differences"]] == [
        (best, "repvit_m0_9")
    ] * 2


def test_the_covariance_of_accuracies_has_their_deviations_on_its_diagonal():
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.shapes import shapes_of

    shapes = shapes_of([repvit_nas.load_architecture(n) for n in ("repvit_m0_9", "repvit_m1_0")])
    estimator = load_family_estimator()

    covariance = estimator.covariance(shapes)

    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), estimator.estimate(shapes).std)
    assert covariance[0, 1] == covariance[1, 0] > 0
