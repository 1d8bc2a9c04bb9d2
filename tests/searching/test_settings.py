"""What a search is asked, within limits, and the folder that is named after it."""

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.settings import Settings, command_line, default_folder


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
            {"budgets_ms": {"a": 5.0}, "output": "features", "num_classes": 0, "resolution": 512},
            "a-5.0ms-features-512px",
        ),
        (
            {"budgets_ms": {"a": 30.0}, "output": "sam", "num_classes": 0, "resolution": 1024},
            "a-30.0ms-sam",
        ),
        (
            {"budgets_ms": {"a": 1.0}, "risk": 0.5, "confidence": 0.9},
            "a-1.0ms-risk-0.5-confidence-0.9",
        ),
    ],
)
def test_folders_are_named_by_what_was_asked(changes, name):
    assert default_folder(Settings(**changes)) == name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "boxes"}, "boxes"),
        (
            {"output": "features", "num_classes": 5},
            "num_classes means nothing where output is feat",
        ),
        (
            {"output": "sam", "num_classes": 0, "resolution": 1000},
            "resolution must be a multiple of 16 where output is sam; got 1000",
        ),
        (
            {"output": "sam-fused", "num_classes": 0, "resolution": 1008},
            "resolution must be a multiple of 32 where output is sam-fused; got 1008",
        ),
    ],
)
def test_outputs_that_no_network_has_are_refused(changes, words):
    with pytest.raises(RepvitNasError, match=words):
        Settings(**({"budgets_ms": {"iphone12": 1.0}} | changes))


def test_without_classes_a_search_is_one_for_features_as_it_was():
    assert Settings(budgets_ms={"a": 1.0}, num_classes=0).output == "features"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"output": "features", "num_classes": 0, "resolution": 512},
            ["--resolution", "512", "--output", "features"],
        ),
        ({"output": "sam", "num_classes": 0, "resolution": 1024}, ["--output", "sam"]),
        ({"num_classes": 10}, ["--num-classes", "10"]),
    ],
)
def test_the_command_says_the_output_and_what_is_not_usual_for_it(changes, words):
    settings = Settings(budgets_ms={"iphone12": 5.0}, **changes)

    assert command_line(settings).split() == ["repvit-nas", "search", "--budget-ms", "5.0", *words]
