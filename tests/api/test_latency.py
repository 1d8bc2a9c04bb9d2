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
