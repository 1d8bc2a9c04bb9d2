"""Where programs ran, and which of them may speak for the Neural Engine."""

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.placement import (
    Placement,
    off_the_engine,
    placement,
    placement_log,
    read_placements,
    without_networks,
)
from repvit_nas.latency_lut.table import NetworkRow, Table
from repvit_nas.programs import network
from repvit_nas.search_space.family import family


def test_operations_count_where_they_cost_something():
    operations = [
        ("conv", "neuralEngine", 0.5),
        ("weight", "cpu", None),
        ("zero", "cpu", 0.0),
        ("gelu", "cpu", 0.3),
        ("add", "neuralEngine", 0.2),
    ]

    found = placement("k", operations)

    assert found == Placement("k", {"neuralEngine": 2, "cpu": 1}, ("gelu",))
    assert not found.on_neural_engine
    assert placement("k", operations[:3]).on_neural_engine


@pytest.mark.parametrize(
    "preferred", [{}, {"cpu": 3}, {"neuralEngine": 9, "gpu": 1}, {"refused": 1}]
)
def test_what_is_not_known_to_run_on_the_engine_alone_is_off_it(preferred):
    placements = {"on": Placement("on", {"neuralEngine": 4}), "off": Placement("off", preferred)}

    assert off_the_engine(placements) == {"off"}


def test_the_last_line_of_a_program_counts(tmp_path):
    log = placement_log(tmp_path / "placements.jsonl")
    last = Placement("k", {"neuralEngine": 2})
    for item in (Placement("k", {"refused": 1}), Placement("other", {"cpu": 1}), last):
        log.append(item)

    found = read_placements(tmp_path / "placements.jsonl")

    assert list(found) == ["k", "other"]
    assert found["k"] == last


def table_of(names):
    rows = tuple(
        NetworkRow(
            1.0, 0.01, 0.9, 1.1, 4, role="held_out", architecture=family()[name].architecture
        )
        for name in names
    )
    return Table(
        device="x", protocol=1, statistic=0.5, across_rounds=0.5, variation={"0.5": 0.01},
        drift=(), noise_floor=None, minutes=1.0, rows=rows,
    )  # fmt: skip


def test_networks_that_ran_elsewhere_are_left_out_and_two_must_stay():
    names = ["repvit_m0_6", "repvit_m0_9", "repvit_m1_0"]
    table = table_of(names)
    keys = [network(row.architecture).key for row in table.rows]

    left = without_networks(table, frozenset(keys[:1]))

    assert left.rows == table.rows[1:]
    with pytest.raises(RepvitNasError, match="at least 2 networks .*; 1 of 3 do"):
        without_networks(table, frozenset(keys[:2]))
