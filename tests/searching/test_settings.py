"""What a search is asked, within limits, and the folder that is named after it."""

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.settings import Settings, default_folder


@pytest.mark.parametrize(
    "changes",
    [
        {"budgets_ms": {}},
        {"budgets_ms": {"iphone12": 0.0}},
        {"budgets_ms": {"iphone12": float("nan")}},
        {"budgets_ms": {"iphone12": float("inf")}},
        {"sampler": "magic"},
        {"trials": 0},
        {"seed": -1},
        {"risk": -1.0},
        {"risk": float("nan")},
        {"confidence": 1.0},
        {"confidence": 0.0},
        {"max_params_m": 0.0},
        {"max_macs_g": float("nan")},
        {"max_size_mb": -3.0},
    ],
)
def test_absurd_settings_are_refused(changes):
    with pytest.raises(RepvitNasError):
        Settings(**({"budgets_ms": {"iphone12": 1.0}} | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budgets_ms": {"iphone12": 1e-7}}, "must be 0.000001 to 1,000,000 ms; got 1e-07"),
        ({"budgets_ms": {"iphone12": 1e7}}, "must be 0.000001 to 1,000,000 ms; got 10000000.0"),
        ({"trials": 10**8}, "trials must be 1 to 10,000,000; got 100000000"),
        ({"seed": 2**63}, "the seed must be 0 to 9223372036854775807; got"),
        ({"max_params_m": 1e9}, "max_params_m must be 0.000001 to 1,000,000; got"),
        ({"confidence": 1 - 1e-16}, "confidence must be above 0 and at most 0.9999; got"),
    ],
)
def test_limits_of_settings_are_told(changes, words):
    with pytest.raises(RepvitNasError, match=words):
        Settings(**({"budgets_ms": {"iphone12": 1.0}} | changes))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"budgets_ms": {"iphone12": 1.0}}, "iphone12-1.0ms"),
        ({"budgets_ms": {"a": 1.5, "b": 0.25}}, "a-1.5ms-b-0.25ms"),
        ({"budgets_ms": {"a": 1.0}, "space": "x/my.toml", "resolution": 160}, "a-1.0ms-my-160px"),
        ({"budgets_ms": {"a": 1.0}, "max_params_m": 5.0, "trials": 9}, "a-1.0ms-max-params-m-5"),
        ({"budgets_ms": {"a": 1.0}, "sampler": "tpe", "seed": 1}, "a-1.0ms-sampler-tpe-seed-1"),
        (
            {"budgets_ms": {"a": 1.0}, "risk": 0.5, "confidence": 0.9},
            "a-1.0ms-risk-0.5-confidence-0.9",
        ),
    ],
)
def test_folders_are_named_by_what_was_asked(changes, name):
    assert default_folder(Settings(**changes)) == name
