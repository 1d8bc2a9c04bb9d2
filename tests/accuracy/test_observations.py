import math

import msgspec
import pytest

from repvit_nas.accuracy.observations import (
    Circumstances,
    ObservationLog,
    binomial_sd,
    circumstances_of,
)
from repvit_nas.errors import FileError, RepvitNasError


def test_what_is_appended_is_read_back(tmp_path, networks, observation):
    log = ObservationLog(tmp_path / "plants")
    seen = [observation(network, 60.0 + n, seed=n) for n, network in enumerate(networks(3))]

    assert log.append(seen) == 3
    assert log.read() == seen


def test_a_training_is_logged_once(tmp_path, networks, observation):
    log = ObservationLog(tmp_path)
    one = observation(networks(1)[0], seed=0)

    assert log.append([one, one]) == 1
    assert log.append([one]) == 0
    assert log.append([msgspec.structs.replace(one, seed=1)]) == 1


def test_a_torn_end_is_not_there_and_the_next_line_is_whole(tmp_path, networks, observation):
    log = ObservationLog(tmp_path)
    first, second, third = (observation(network) for network in networks(3))
    log.append([first, second])
    content = log.path.read_bytes()
    log.path.write_bytes(content[:-20])

    assert log.read() == [first]
    log.append([third])
    assert log.read() == [first, third]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_digest": "d2"}, r"data 'plants' \(d1\) -> 'plants' \(d2\)"),
        ({"recipe": "full", "recipe_digest": "r2"}, r"recipe 'proxy' \(r1\) -> 'full' \(r2\)"),
        ({"data": "birds", "data_digest": ""}, "data 'plants' -> 'birds'"),
    ],
)
def test_other_circumstances_are_never_merged(tmp_path, networks, observation, changed, said):
    log = ObservationLog(tmp_path / "plants")
    one, two = (observation(network) for network in networks(2))
    log.append([one])
    elsewhere = msgspec.structs.replace(two.circumstances, **changed)

    with pytest.raises(RepvitNasError, match=rf"{said}.*give another --name"):
        log.append([msgspec.structs.replace(two, circumstances=elsewhere)])
    assert log.read() == [one]


def test_a_training_elsewhere_needs_no_digest(tmp_path, networks, observation):
    log = ObservationLog(tmp_path)
    one, two = (observation(network) for network in networks(2))
    unknown = Circumstances(data="plants", recipe="proxy")
    log.append([msgspec.structs.replace(one, circumstances=unknown)])
    log.append([two])

    assert circumstances_of(log.read()).data_digest == "d1"


@pytest.mark.parametrize(
    ("field", "value"), [("top1", math.nan), ("top1", 101.0), ("top1", -1.0), ("loss", math.inf)]
)
def test_what_is_no_accuracy_is_refused(tmp_path, networks, observation, field, value):
    with pytest.raises(ValueError, match=field):
        observation(networks(1)[0], **{field: value})
    line = msgspec.json.encode(observation(networks(1)[0], loss=1.0)).replace(
        b'"loss":1.0', b'"loss":-1'
    )
    (tmp_path / "observations.jsonl").write_bytes(line + b"\n")
    with pytest.raises(FileError, match=r"line 1 is no observation.*>= 0.0 - at `\$.loss`"):
        ObservationLog(tmp_path).read()


def test_the_error_of_an_accuracy_is_that_of_its_images():
    # sqrt(0.7 * 0.3 / 1000) of a proportion
    assert binomial_sd(70.0, 1000) == pytest.approx(1.449, abs=0.01)
    assert binomial_sd(100.0, 100) > 0
