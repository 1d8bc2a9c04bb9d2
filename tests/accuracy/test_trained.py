import numpy as np
import pytest

from repvit_nas.accuracy import trained
from repvit_nas.accuracy.observations import ObservationLog
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.shapes import shapes_of


@pytest.fixture
def plants(tmp_path, monkeypatch, networks, observation):
    """An estimator of the name `plants`, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = trained.folder_of("plants")
    seen = [
        observation(network, 60.0 + number, top1_sd=0.5, held_out=number == 9)
        for number, network in enumerate(networks(10))
    ]
    ObservationLog(folder).append(seen)
    trained.write(folder, trained.fit("plants", seen, folder))
    return folder, seen


def test_an_estimator_is_read_as_it_was_written(plants, networks):
    folder, seen = plants
    shapes = shapes_of(networks(20, seed=1))
    written = trained.TrainedEstimator(trained.fit("plants", seen, folder), seen).estimate(shapes)

    found = trained.load_estimator("plants").estimate(shapes)
    assert np.array_equal(found.mean, written.mean)
    assert np.array_equal(found.std, written.std)
    assert "plants" in trained.known()


def test_it_says_where_an_accuracy_comes_from(plants, networks):
    _, seen = plants
    estimator = trained.load_estimator("plants")

    known = estimator.observed(seen[3].architecture)
    assert (known.top1, known.source, known.trainings) == (63.0, "trained here", 1)
    assert estimator.observed(networks(1, seed=5)[0]) is None
    assert "plants at 32 px after recipe proxy, estimated from 9 networks" in estimator.meaning
    family = trained.load_estimator("family")
    from repvit_nas.search_space.family import reference

    assert family.observed(reference("repvit_m1_0").architecture).source == "published"
    assert family.observed(seen[0].architecture) is None


def test_held_out_networks_change_nothing(plants, networks, observation):
    folder, _ = plants
    before = trained.load_estimator("plants").file
    ObservationLog(folder).append([observation(networks(1, seed=7)[0], 99.0, held_out=True)])

    assert trained.load_estimator("plants").file == before


def test_what_was_added_by_hand_is_fitted(plants, networks, observation):
    folder, _ = plants
    before = trained.load_estimator("plants").file
    ObservationLog(folder).append([observation(networks(1, seed=7)[0], 99.0)])

    after = trained.load_estimator("plants").file
    assert after.networks == before.networks + 1
    assert after.digest != before.digest


def test_an_estimator_is_read_once_while_its_files_stay_as_they_are(plants, networks, observation):
    folder, _ = plants
    (folder / trained.POSTERIOR_FILE).unlink()  # so that to read is to fit
    first = trained.load_estimator("plants")

    assert trained.load_estimator("plants") is first
    ObservationLog(folder).append([observation(networks(1, seed=7)[0], 99.0)])
    assert trained.load_estimator("plants").file.networks == first.file.networks + 1


def test_an_unknown_name_lists_the_known_ones(plants):
    with pytest.raises(UnknownNameError, match="'birds' is not known; known: family, plants"):
        trained.load_estimator("birds")


@pytest.mark.parametrize("name", ["family", "", "../plants", "a b", ".hidden"])
def test_a_name_is_one_of_a_folder(name):
    with pytest.raises(RepvitNasError, match="--name must be"):
        trained.folder_of(name)


def test_networks_of_two_resolutions_are_no_one_estimator(plants, networks, observation):
    import msgspec

    folder, seen = plants
    other = msgspec.structs.replace(networks(1)[0], resolution=64)

    with pytest.raises(RepvitNasError, match="32 px with 10, 64 px with 10"):
        trained.fit("plants", [*seen, observation(other)], folder)


def test_half_a_million_networks_a_second_are_priced(plants):
    import time

    from repvit_nas.search_space.space import load_space

    estimator = trained.load_estimator("plants")
    family = trained.load_estimator("family")
    space = load_space("cifar")[0]
    shapes = space.decode(space.sample(np.random.default_rng(0), 8192), num_classes=10)

    def best(one):
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            one.estimate(shapes)
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    assert best(estimator) < 1.5 * best(family)


def test_200_observations_are_fitted_within_seconds(networks, observation, tmp_path):
    import time

    seen = [observation(n, 50.0 + i % 7, top1_sd=0.5) for i, n in enumerate(networks(200))]
    began = time.perf_counter()
    assert trained.fit("many", seen, tmp_path).networks == 200
    assert time.perf_counter() - began < 5


def test_errors_that_networks_share_are_off_the_diagonal(plants, networks):
    estimator, shapes = trained.load_estimator("plants"), shapes_of(networks(4, seed=1) * 2)
    learned = estimator.learned

    covariance = estimator.covariance(shapes)

    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), estimator.estimate(shapes).std)
    np.testing.assert_allclose(covariance, covariance.T)
    # A network twice differs by two trainings' noise, and by nothing else.
    twice = covariance[0, 0] + covariance[4, 4] - 2 * covariance[0, 4]
    assert twice == pytest.approx(2 * learned.noise**2)
