import numpy as np
import pytest

from repvit_nas.searching.entries import entries_of, names_of
from repvit_nas.searching.front import Front


def test_equal_latencies_get_numbers_so_that_names_are_told_apart(make_problem):
    latencies = np.array([[0.5, -70.0], [0.50001, -71.0], [0.50002, -72.0], [0.6, -73.0]])

    names = names_of(make_problem(), Front(np.zeros((4, 1), dtype=np.intp), latencies))

    assert names == [
        "iphone12-0.5000ms",
        "iphone12-0.5000ms-2",
        "iphone12-0.5000ms-3",
        "iphone12-0.6000ms",
    ]


def test_an_entry_says_what_the_problem_says_of_the_network(make_problem):
    problem = make_problem(devices=("iphone12", "iphone13"))
    choices = problem.space.sample(np.random.default_rng(3), 4)
    scores = problem.score(choices)

    entries = entries_of(problem, choices, list("abcd"))

    assert [entry.architecture.name for entry in entries] == list("abcd")
    for row, entry in enumerate(entries):
        assert problem.space.encode(entry.architecture)[0].tolist() == choices[row].tolist()
        assert list(entry.devices) == ["iphone12", "iphone13"]
        found = [on.latency_ms for on in entry.devices.values()]
        assert found == pytest.approx(scores.latency_ms[row], abs=1e-4)
        assert entry.latency_ms == entry.devices["iphone12"].latency_ms
        assert entry.params == round(scores.params[row])
        assert entry.size_bytes == 2 * entry.params
