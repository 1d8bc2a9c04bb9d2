"""Latencies that a user brought, kept with their networks."""

import msgspec
import pytest

from repvit_nas.errors import FileError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.own import OwnLatency, own_observations, read_own, write_own
from repvit_nas.search_space.family import family
from repvit_nas.units import count, rows

M0_9, M1_0 = (family()[name].architecture for name in ("repvit_m0_9", "repvit_m1_0"))


def own(architecture=M0_9, **changes):
    given = {"latency_ms": 9.8, "error_ms": 0.2, "tool": "stopwatch", "source": "lab"}
    return OwnLatency(architecture=architecture, **given | changes)


def test_rows_come_back_as_they_were_written_one_a_line(tmp_path):
    path = tmp_path / "latencies.json"
    assert read_own(path) == ()
    latencies = (own(), own(M1_0, note="warm"))

    write_own(path, latencies)

    assert read_own(path) == latencies
    assert sum("stopwatch" in line for line in path.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error_ms": 9.8}, "error_ms must be below latency_ms, 9.8; got 9.8"),
        ({"error_ms": -0.1}, ">= 0.0"),
        ({"latency_ms": 0.0}, "> 0.0"),
        ({"latency_ms": 1e999}, "latency_ms|out of range|valid JSON"),
    ],
)
def test_what_no_network_takes_is_refused(tmp_path, changes, said):
    path = tmp_path / "latencies.json"
    write_own(path, (own(),))
    text = path.read_text()
    for name, value in changes.items():
        before = {"error_ms": "0.2", "latency_ms": "9.8"}[name]
        assert before in text
        text = text.replace(before, "1e999" if value == float("inf") else str(value))
    path.write_text(text)

    with pytest.raises(FileError, match=said):
        read_own(path)


def test_a_network_is_the_same_whatever_it_is_called():
    named = msgspec.structs.replace(M0_9, name="mine")

    assert own(named).identity == own().identity
    assert own(tool="clock").identity != own().identity
    assert own(M1_0).identity != own().identity
    assert (
        own(msgspec.structs.replace(M0_9, name="")).name == "48-96-192-384 / 2-2-14-2 / se ½ / x2"
    )


def test_a_network_that_was_published_too_keeps_its_name():
    published = Observation(
        name="paper", network="repvit_m0_9", family="repvit", resolution=224,
        units=tuple(count(rows(M0_9)).items()), latency_ms=0.87, error_ms=0.01, tool="xcode",
        source="paper",
    )  # fmt: skip

    one, other = own_observations([own(), own(M1_0)], [published])

    assert one.network == "repvit_m0_9"
    assert other.network not in ("repvit_m0_9", "repvit_m1_0")
    assert dict(one.units) == count(rows(M0_9))
    assert (one.latency_ms, one.error_ms, one.tool, one.source) == (9.8, 0.2, "stopwatch", "lab")
