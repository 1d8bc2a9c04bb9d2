import pytest

import repvit_nas
from repvit_nas.errors import RepvitNasError, UnknownNameError, WrongTypeError
from repvit_nas.predictors.predictor import load_predictor


def test_a_prediction_is_the_predictors_own():
    network = repvit_nas.load_architecture("repvit_m1_0")
    expected = load_predictor("iphone13")[0].estimate(network, 0.5)

    found = repvit_nas.predict("repvit_m1_0", "iphone13", interval=0.5)

    assert (found.latency_ms, found.low_ms, found.high_ms) == expected[:3]
    assert (found.device, found.source, found.interval) == ("iphone13", "modelled", 0.5)


def test_several_networks_on_several_devices_come_network_by_network():
    found = repvit_nas.predict(["repvit_m0_9", "repvit_m1_0"], ["iphone12", "iphone13"])

    frame = found.to_frame()
    assert list(zip(frame["network"], frame["device"], strict=True)) == [
        ("repvit_m0_9", "iphone12"),
        ("repvit_m0_9", "iphone13"),
        ("repvit_m1_0", "iphone12"),
        ("repvit_m1_0", "iphone13"),
    ]
    assert found[3].latency_ms == repvit_nas.predict("repvit_m1_0", "iphone13").latency_ms
    assert len(str(found).splitlines()) == len(found) == 4


def test_another_resolution_is_another_network():
    small, large = (repvit_nas.predict("repvit_m0_9", resolution=px) for px in (224, 384))

    assert small == repvit_nas.predict("repvit_m0_9")
    assert large.architecture.resolution == 384
    assert large.latency_ms > 1.5 * small.latency_ms


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ((5,), WrongTypeError, "a network must be a name, .*; got int: 5"),
        (("repvit_m1", 5), WrongTypeError, "device must be the name .*; got int: 5"),
        (([5],), WrongTypeError, "got int: 5"),
        (("repvit_m1_1x",), RepvitNasError, "did you mean 'repvit_m1_1'"),
        (("repvit_m1", "iphon12"), UnknownNameError, "did you mean 'iphone12'"),
    ],
)
def test_what_cannot_be_predicted_is_said_in_one_line(asked, kind, said):
    with pytest.raises(kind, match=said) as error:
        repvit_nas.predict(*asked)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"resolution": 2.5}, "resolution must be an integer; got float: 2.5"),
        ({"resolution": 8}, "resolution must be 32 to 4096; got 8"),
        ({"interval": "wide"}, "interval must be a number between 0 and 1; got str: 'wide'"),
        ({"interval": 1.0}, "confidence must be above 0"),
    ],
)
def test_values_that_mean_nothing_are_refused(named, said):
    with pytest.raises(RepvitNasError, match=said):
        repvit_nas.predict("repvit_m0_9", **named)


def test_weights_of_fewer_bits_are_modelled_by_their_bytes():
    half = repvit_nas.predict("repvit_m1_5", "iphone12")
    fewer = [repvit_nas.predict("repvit_m1_5", "iphone12", weights=bits) for bits in (16, 8, 6, 4)]

    assert fewer[0] == half
    latencies = [each.latency_ms for each in fewer]
    assert latencies == sorted(latencies, reverse=True)
    # 14 million weights are 28 MB: at 30.4 GB/s 8 bits save at most half of 0.92 ms, and MACs remain.
    assert 0.2 < latencies[0] - latencies[1] <= 0.46
    for each in fewer[1:]:
        assert each.source == "modelled"
        # That nothing is gained is within the interval: nobody has published otherwise.
        assert each.low_ms < each.latency_ms < half.latency_ms < each.high_ms == half.high_ms
    assert str(fewer[2]).startswith("repvit_m1_5, 6-bit weights on iphone12: ")
    assert fewer[2].document()["weights"] == 6


def test_units_that_were_timed_are_modelled_with_fewer_bits_all_the_same():
    predictor, _ = load_predictor("cpu-epyc", foreign=True)
    architecture = repvit_nas.load_architecture("repvit_m0_9")

    found = predictor.estimate(architecture, bits=4)

    assert 0 < found.latency_ms < predictor.estimate(architecture).latency_ms
    assert found.source == "modelled"
    assert predictor.estimate(architecture, bits=16) == predictor.estimate(architecture)


@pytest.mark.parametrize(
    ("device", "bits", "said"),
    [
        ("iphone12", 5, "--weights must be 8, 6 or 4 bits, or 16 for half precision; got 5"),
        ("cpu-epyc", 6, "--weights is of Core ML, and device 'cpu-epyc' runs onnxruntime 1.31.1"),
    ],
)
def test_weights_that_a_device_does_not_take_are_said_in_one_line(device, bits, said):
    with pytest.raises(RepvitNasError, match=said):
        repvit_nas.predict("repvit_m0_9", device, weights=bits, foreign=True)
