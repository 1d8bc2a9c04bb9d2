"""Searches that share a study end with the trials that were asked for, on every storage."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import optuna
import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.checkpoint import TrialRecord
from repvit_nas.searching.shared import Sharing, open_shared
from repvit_nas.searching.study import _distributions, run_study
from repvit_nas.storages import close_storage, open_storage

# Two searches that begin at the same moment, in processes of their own, on the real space.
WORKER = """
import json, sys, time
import numpy as np
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.shared import Sharing
from repvit_nas.searching.study import run_study
from repvit_nas.search_space import load_space
url, options = sys.argv[1], json.loads(sys.argv[2])
slow = options.pop("slow", 0)
problem = Problem(load_space("repvit")[0], [load_predictor("iphone12")[0]],
                  load_family_estimator(), Settings(budgets_ms={"iphone12": 0.9}, **options))
print("ready", flush=True)
sys.stdin.readline()
def progress(done):
    print(done, flush=True)
    time.sleep(slow)
sharing = Sharing(url, stale_s=2.0, say=lambda line: print(line, flush=True))
start = np.zeros((0, len(problem.space.parameters)), dtype=np.intp)
studied = run_study(problem, start=start, sharing=sharing, digest="d", resume="auto",
                    progress=progress)
print("ended", studied.choices.tobytes().hex(), flush=True)
"""


@contextlib.contextmanager
def workers(url, number, **options):
    command = [sys.executable, "-c", WORKER, url, json.dumps(options)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(number)]
    try:
        for each in running:
            assert each.stdout.readline() == "ready\n"
        for each in running:
            each.stdin.write("go\n")
            each.stdin.flush()
        yield running
    finally:
        for each in running:
            each.kill()
            each.communicate()


def networks_of(worker):
    """Wait for a worker's end; return what it found, and the lines that it said."""
    said, _ = worker.communicate(timeout=120)
    *lines, last = said.splitlines()
    word, _, networks = last.partition(" ")
    assert word == "ended", said
    return networks, lines


def finished(url):
    """Return the trials of the study, and how many are in each state."""
    storage = open_storage(url)
    trials = optuna.load_study(study_name="repvit-nas", storage=storage).trials
    close_storage(storage)
    return trials, Counter(trial.state.name for trial in trials)


def nothing(problem):
    return np.zeros((0, len(problem.space.parameters)), dtype=np.intp)


def some(problem, number, seed=0):
    """Return so many scored networks as trials."""
    choices = problem.space.sample(np.random.default_rng(seed), number)
    scores = problem.score(choices)
    rows = zip(choices, problem.objectives(scores), scores.violations, strict=True)
    return [TrialRecord(*(tuple(part.tolist()) for part in row)) for row in rows]


class TestEveryStorage:
    """What every storage must do."""

    def test_searches_started_together_end_with_the_trials_asked_for_and_one_front(self, url):
        with workers(url, 2, trials=70, sampler="random") as both:
            (one, _), (other, _) = (networks_of(each) for each in both)

        trials, counts = finished(url)
        assert counts["COMPLETE"] == 70
        assert set(counts) <= {"COMPLETE", "FAIL"}
        assert one == other
        rows = {tuple(trial.params.items()) for trial in trials if trial.values}
        assert len(rows) == 70, "random draws among 1e15 networks repeat none"

    def test_one_search_proposes_what_it_does_without_a_storage(self, make_problem, url):
        problem = make_problem(trials=60)
        start = problem.space.sample(np.random.default_rng(5), 3)

        shared = run_study(problem, start=start, sharing=Sharing(url))

        assert (shared.choices == run_study(problem, start=start).choices).all()

    def test_trials_come_back_as_they_were_told(self, make_problem, url):
        problem = make_problem(trials=5)
        told = some(problem, 3)
        with open_shared(problem, Sharing(url), "d", resume=False) as first:
            assert first.keep(told, _distributions(problem)) == [True] * 3

        with open_shared(problem, Sharing(url), "d", resume=True) as joined:
            assert joined.news() == told
            assert joined.news() == []
            assert joined.room() == 2
            assert (joined.choices == first.choices).all()

    def test_whoever_comes_first_keeps_the_last_places(self, make_problem, url):
        problem = make_problem(trials=4)
        first, second = some(problem, 3), some(problem, 3, seed=1)
        distributions = _distributions(problem)
        with (
            open_shared(problem, Sharing(url), "d", resume=False) as one,
            open_shared(problem, Sharing(url), "d", resume="auto") as other,
        ):
            one.news()
            other.news()

            assert one.keep(first, distributions) == [True] * 3
            assert other.keep(second, distributions) == [True, False, False]
            assert (one.news(), other.news()) == (second[:1], first)
            assert (one.room(), other.room()) == (0, 0)

    def test_what_a_search_that_is_gone_left_running_is_given_up(self, make_problem, url):
        problem = make_problem(trials=6)
        trial = optuna.create_trial(state=optuna.trial.TrialState.RUNNING)
        with open_shared(problem, Sharing(url), "d", resume=False):
            storage = open_storage(url)
            storage.create_new_trial(storage.get_study_id_from_name("repvit-nas"), trial)
            close_storage(storage)

        sharing = Sharing(url, stale_s=0.5)
        studied = run_study(
            problem, start=nothing(problem), sharing=sharing, digest="d", resume=True
        )

        assert len(studied.choices) == 6
        assert finished(url)[1] == {"COMPLETE": 6, "FAIL": 1}

    def test_a_search_with_other_settings_is_refused(self, make_problem, url):
        problem = make_problem(trials=5)
        with open_shared(problem, Sharing(url), "one", resume="auto"):
            pass

        for digest, resume, said in (
            ("two", "auto", "belongs to another search"),
            ("one", False, "--resume auto"),
        ):
            with (
                pytest.raises(RepvitNasError, match=said),
                open_shared(problem, Sharing(url), digest, resume=resume),
            ):
                pass


SERVERS = ["postgresql", pytest.param("mysql", marks=pytest.mark.slow)]


@pytest.mark.parametrize("database_server", SERVERS, indirect=True)
def test_a_killed_search_is_replaced_by_those_that_are_left(database_server):
    url = database_server.database("killed")
    with workers(url, 3, trials=160, sampler="random", slow=0.1) as (victim, *left):
        victim.stdout.readline()
        os.kill(victim.pid, signal.SIGKILL)
        found = {networks_of(each)[0] for each in left}

    assert len(found) == 1
    _, counts = finished(url)
    assert counts["COMPLETE"] == 160
    assert "RUNNING" not in counts


@pytest.mark.parametrize("database_server", SERVERS, indirect=True)
def test_searches_go_on_by_themselves_when_a_killed_database_is_back(database_server):
    url = database_server.database("restarted")
    with workers(url, 2, trials=160, sampler="random", slow=0.1) as both:
        both[0].stdout.readline()
        database_server.kill()
        time.sleep(1.0)
        database_server.start()
        ended = [networks_of(each) for each in both]

    assert len({networks for networks, _ in ended}) == 1
    assert finished(url)[1]["COMPLETE"] == 160
    said = [line for _, lines in ended for line in lines if "storage" in line]
    assert any("does not answer" in line for line in said)
    assert any("answers again" in line for line in said)


def test_a_study_says_what_it_holds(make_problem, tmp_path):
    """What the dashboard shows: names, directions, constraints and what is known of each trial."""
    problem = make_problem(trials=30, max_params_m=4.0)
    url = f"sqlite:///{tmp_path}/study.db"

    run_study(problem, start=nothing(problem), sharing=Sharing(url))

    storage = open_storage(url)
    study = optuna.load_study(study_name="repvit-nas", storage=storage)
    assert study.metric_names == [
        "iphone12 latency [ms]",
        "accuracy less 1 standard deviations [%]",
    ]
    assert [each.name for each in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    parameters = {each.name: each.values for each in problem.space.free_parameters}
    for trial in study.trials:
        latency, accuracy = trial.values
        assert 50 < accuracy < 90
        assert all(value in parameters[name] for name, value in trial.params.items())
        low, high = trial.user_attrs["iphone12 latency, 90 % interval [ms]"]
        assert low < latency < high
        assert trial.user_attrs["iphone12 latency from"] == "modelled"
        deviation = trial.user_attrs["accuracy deviation [%]"]
        assert trial.user_attrs["accuracy estimate [%]"] - deviation == pytest.approx(
            accuracy, abs=2e-3
        )
        choices = np.array([problem.space.choices_of(trial.params)])
        violations = problem.score(choices).violations[0].tolist()
        assert list(trial.constraints.values()) == pytest.approx(violations)
    names = study.user_attrs["constraints, kept at 0 or less"]
    assert names == list(problem.constraint_names)
    close_storage(storage)
