import numpy as np
import pytest

from repvit_nas.accuracy.responses import responses
from repvit_nas.errors import FileError


@pytest.fixture
def trained(tmp_path, networks, observation):
    """Observations of networks whose images are hard in the same way."""
    rng = np.random.default_rng(0)
    hard = rng.exponential(1.0, 2000)
    found = []
    for number, network in enumerate(networks(8)):
        losses = hard + 0.02 * number + 0.05 * rng.standard_normal(2000)
        np.save(tmp_path / f"{number}.npy", losses.astype(np.float32))
        found.append(
            observation(network, 70.0 - number, loss=float(losses.mean()), losses=f"{number}.npy")
        )
    return found


def test_losses_are_points_by_the_line_through_top1(tmp_path, trained):
    found = responses(trained, tmp_path)

    assert found.points.mean() == pytest.approx(66.5)
    assert np.all(np.diff(found.points) < -0.5)


def test_networks_on_the_same_images_share_their_error(tmp_path, trained):
    covariance = responses(trained, tmp_path).covariance

    apart = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # 50 points a unit of loss; each pair differs by sqrt(2) * 0.05 an image, of 2000 images
    assert np.sqrt(apart) == pytest.approx(50 * np.sqrt(2) * 0.05 / np.sqrt(2000), rel=0.15)
    assert np.sqrt(covariance[0, 0]) > 10 * np.sqrt(apart)


def test_without_losses_the_response_is_top1(networks, observation):
    seen = [observation(n, 60.0 + i, top1_sd=0.5) for i, n in enumerate(networks(6))]
    found = responses(seen, None)

    assert found.points.tolist() == [60.0, 61.0, 62.0, 63.0, 64.0, 65.0]
    assert np.diag(found.covariance) == pytest.approx(0.25)


def test_a_file_that_holds_no_losses_is_named(tmp_path, trained):
    (tmp_path / "3.npy").write_bytes(b"nothing")

    with pytest.raises(FileError, match=r"3\.npy: holds no losses of images"):
        responses(trained, tmp_path)
