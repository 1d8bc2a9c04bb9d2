import numpy as np
import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.metrics import scores


def test_scores_by_hand():
    """Errors of +8 %, -4 %, 0 and +20 %; one pair of six is out of order."""
    measured = np.array([10.0, 20.0, 30.0, 31.0])
    predicted = np.array([10.8, 19.2, 30.0, 37.2])

    found = scores(measured, predicted)

    assert found.networks == 4
    assert found.rmspe == pytest.approx(100 * np.sqrt((0.0064 + 0.0016 + 0 + 0.04) / 4), abs=1e-3)
    assert found.mape == pytest.approx(8.0, abs=1e-3)
    assert found.bias == pytest.approx(6.0, abs=1e-3)
    assert found.within_5 == 50.0
    assert found.within_10 == 75.0
    assert found.kendall_tau == 1.0
    assert scores(measured, predicted[[1, 0, 2, 3]]).kendall_tau == pytest.approx(4 / 6, abs=1e-3)


def test_one_network_is_no_comparison():
    with pytest.raises(RepvitNasError, match="at least 2 networks are needed to compare; got 1"):
        scores(np.array([1.0]), np.array([1.0]))
