import pytest

import repvit_nas
from repvit_nas.errors import UnknownNameError, WrongTypeError


def test_estimates_carry_their_deviation_and_what_they_are_of():
    one, both = (
        repvit_nas.estimate("repvit_m1_0"),
        repvit_nas.estimate(["repvit_m1_0", "repvit_m2_3"]),
    )

    assert both[0].accuracy == pytest.approx(one.accuracy)
    assert one.accuracy == pytest.approx(80.0, abs=3 * one.std)  # published: 80.0
    assert "ImageNet-1k" in one.meaning
    assert list(both.to_frame()["network"]) == ["repvit_m1_0", "repvit_m2_3"]
    with pytest.raises(UnknownNameError, match="did you mean 'family'"):
        repvit_nas.estimate("repvit_m1_0", "famly")
    with pytest.raises(WrongTypeError, match="got int: 5"):
        repvit_nas.estimate(5)
