import msgspec
import numpy as np
import pytest

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.predictor_file import MemberRecord
from repvit_nas.searching.agreement import disputed, overtaken, rivals
from repvit_nas.searching.exact import exact_front
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings


def test_rivals_are_clearly_more_accurate_and_not_much_slower():
    latency = np.array([1.0, 1.02, 1.02, 1.04, 0.9])
    objective = -np.array([80.0, 80.2, 80.05, 80.9, 79.0])

    (found,) = rivals(latency, objective, np.array([0]))

    assert found.tolist() == [1]


def test_a_winner_is_overtaken_by_whoever_is_no_slower():
    """Of four members one has a rival as fast, another one faster."""
    rivals_ms = np.array([[1.1, 1.2, 1.0, 1.1], [1.3, 1.0, 1.3, 0.9]])

    assert overtaken(np.array([1.0, 0.9, 1.0, 1.0]), rivals_ms) == pytest.approx(0.5)


def test_members_that_disagree_about_the_device_dispute_who_won(small_space):
    """One member takes a device to wait for weights alone, the other for compute alone."""
    known = load_predictor("iphone12")[0].model
    form = known.members[0].form

    def member(tmacs, memory_gbps):
        changed = msgspec.structs.replace(
            form, tmacs=tmacs, memory_gbps=memory_gbps, chip_gbps=1e6, spill="none"
        )
        return MemberRecord(changed, 0.0, (1.0, 0.0, 0.0))

    def searched(*members):
        predictor = Predictor(msgspec.structs.replace(known, members=members))
        settings = Settings(budgets_ms={"iphone12": 100.0})
        problem = Problem(small_space, [predictor], load_family_estimator(), settings)
        front = exact_front(problem)
        return disputed(problem, front, np.arange(len(front.choices)))

    split = searched(member(1.0, 1e6), member(1e6, 10.0))
    assert split
    assert set(split.values()) <= {0.5, 1.0}  # 1: each member has another one win
    assert searched(member(1.0, 1e6), member(1.0, 1e6)) == {}
