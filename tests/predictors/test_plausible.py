"""Whether latencies from elsewhere can be a device's at all."""

import math

import pytest

from repvit_nas.errors import FileError
from repvit_nas.predictors.plausible import check_like_predicted


def ratios(*times):
    return [(f"n{place}", math.log(each)) for place, each in enumerate(times)]


@pytest.mark.parametrize("times", [(), (1.0,), (3.9, 3.9), (0.26, 0.26), (0.5, 1.0, 4.9)])
def test_latencies_within_a_factor_of_four_are_believed(times):
    check_like_predicted("lab.csv", "iphone12", ratios(*times))


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((1000.0,), "got 1,000 times as much .*as if they were in microseconds"),
        ((0.001, 0.001), "got 1/1,000 of it .*as if they were in seconds"),
        ((4.5, 4.5), r"within a factor of 4 .*got 4\.5 times as much \(median of 2\): correct"),
        ((0.2,), r"got 1/5\.0 of it \(median of 1\): correct them"),
    ],
)
def test_those_far_off_together_are_refused_with_the_unit_they_hint_at(times, said):
    with pytest.raises(FileError, match=f"^lab.csv: .*{said}"):
        check_like_predicted("lab.csv", "iphone12", ratios(*times))


def test_a_few_that_are_far_from_the_others_are_named_the_furthest_first():
    with pytest.raises(FileError, match="got n3 1,000 times as much, n2 20 times as much, as if"):
        check_like_predicted("lab.csv", "iphone12", ratios(1, 1, 20, 1000, 1, 1, 1))


def test_no_more_than_three_are_named():
    times = [1.0] * 11 + [20.0] * 5
    with pytest.raises(FileError, match="n11 20 times as much, n12 .*, n13 .* and 2 more: correct"):
        check_like_predicted("lab.csv", "iphone12", ratios(*times))


def test_how_far_is_too_far_can_be_said():
    with pytest.raises(FileError, match="within a factor of 2 of"):
        check_like_predicted("lab.csv", "iphone12", ratios(3.0), furthest=2.0)
