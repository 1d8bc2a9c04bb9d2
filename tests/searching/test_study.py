import subprocess
import sys
import time

import numpy as np
import optuna
import pytest

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.searching.checkpoint import Checkpoint
from repvit_nas.searching.front import front_of
from repvit_nas.searching.shared import Sharing
from repvit_nas.searching.study import BATCH, run_study

SAMPLERS = ["nsga2", "tpe", "random", "gp"]


def nothing(problem):
    return np.zeros((0, len(problem.space.parameters)), dtype=np.intp)


def few(sampler):
    """GP takes a second a trial, so it gets fewer."""
    return 12 if sampler == "gp" else 120


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", SAMPLERS)
class TestEverySampler:
    """What every sampler must do."""

    def test_the_same_seed_proposes_the_same_networks(self, make_problem, sampler):
        first, second, other = (
            run_study(p, start=nothing(p)).choices
            for p in (
                make_problem(sampler=sampler, trials=few(sampler), seed=seed) for seed in (1, 1, 2)
            )
        )

        assert (first == second).all()
        assert (first != other).any()

    def test_it_stays_in_the_space_and_counts_each_network_once(self, make_problem, sampler):
        problem = make_problem(sampler=sampler, trials=few(sampler))

        studied = run_study(problem, start=nothing(problem))

        assert len(studied.choices) == few(sampler)
        assert (studied.choices < problem.space.radix).all()
        assert studied.evaluations == len(np.unique(studied.choices, axis=0))
        assert studied.scores.params == pytest.approx(problem.score(studied.choices).params)
        assert not studied.interrupted

    def test_it_starts_from_what_it_is_given(self, make_problem, sampler):
        problem = make_problem(sampler=sampler, trials=few(sampler))
        start = problem.space.sample(np.random.default_rng(5), 3)

        studied = run_study(problem, start=start)

        assert studied.choices[:3].tolist() == start.tolist()

    def test_a_resumed_study_goes_on_as_an_undisturbed_one(self, make_problem, sampler, tmp_path):
        """Stopped at a batch or within one, and resumed: the very same networks are proposed."""
        lengths = {"gp": (2, 11, 14), "tpe": (2, 31, 100)}.get(sampler, (10, 7 * BATCH, 533, 650))
        checkpoint = Checkpoint(tmp_path / "study", "d")
        for trials in lengths:
            problem = make_problem(sampler=sampler, trials=trials)
            start = problem.space.sample(np.random.default_rng(5), 3)
            resumed = run_study(problem, start=start, checkpoint=checkpoint, resume=True)

        undisturbed = run_study(problem, start=start)
        assert (resumed.choices == undisturbed.choices).all()
        logged = [record.choices for batch in checkpoint.read() for record in batch]
        assert np.array(logged).tolist() == undisturbed.choices.tolist()

    def test_a_study_is_not_resumed_to_less_than_it_has(self, make_problem, sampler, tmp_path):
        checkpoint = Checkpoint(tmp_path / "study", "d")
        longer, shorter = (make_problem(sampler=sampler, trials=trials) for trials in (5, 4))
        run_study(longer, start=nothing(longer), checkpoint=checkpoint)

        with pytest.raises(RepvitNasError, match="has 5 trials already; got --trials 4"):
            run_study(shorter, start=nothing(shorter), checkpoint=checkpoint, resume=True)


def test_an_evolution_beats_chance(make_problem):
    """With equal trials NSGA-II's front is better than random sampling's, on the real space."""
    from repvit_nas.searching.front import hypervolume

    volumes = {}
    for sampler in ("nsga2", "random"):
        problem = make_problem("repvit", sampler=sampler, trials=400, budgets_ms={"iphone12": 1.0})
        studied = run_study(problem, start=nothing(problem))
        front = front_of(problem, studied.choices)
        volumes[sampler] = hypervolume(front.objectives, np.array([1.0, -60.0]))

    assert volumes["nsga2"] > volumes["random"]


def test_constraints_reach_optuna(make_problem, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    problem = make_problem(trials=30, max_params_m=4.0)

    run_study(problem, start=nothing(problem), sharing=Sharing(storage))

    study = optuna.load_study(study_name="repvit-nas", storage=storage)
    for trial in study.trials:
        choices = np.array([problem.space.choices_of(trial.params)])
        assert list(trial.constraints.values()) == pytest.approx(
            problem.score(choices).violations[0].tolist()
        )
    best = {trial.number for trial in study.best_trials}
    assert all(max(study.trials[n].constraints.values()) <= 0 for n in best)


def test_a_study_in_a_storage_is_continued_only_when_asked(make_problem, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    problem = make_problem(trials=20)
    first = run_study(problem, start=nothing(problem), sharing=Sharing(storage))

    with pytest.raises(RepvitNasError, match="--resume"):
        run_study(problem, start=nothing(problem), sharing=Sharing(storage))
    longer = make_problem(trials=30)
    again = run_study(longer, start=nothing(longer), sharing=Sharing(storage), resume=True)

    assert len(again.choices) == 30
    assert (again.choices[:20] == first.choices).all()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////no/such/folder/x.db", "mysql+nope://x"])
def test_a_storage_that_cannot_be_opened_is_one_line(make_problem, url):
    problem = make_problem(trials=5)

    with pytest.raises(RepvitNasError) as error:
        run_study(problem, start=nothing(problem), sharing=Sharing(url))

    assert "\n" not in str(error.value)
    assert "cannot be opened" in str(error.value)


def test_a_study_of_other_objectives_is_not_continued(make_problem, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    one = make_problem(trials=5)
    two = make_problem(trials=5, budgets_ms={"iphone12": 0.9, "iphone13": 0.9})
    run_study(one, start=nothing(one), sharing=Sharing(storage))

    with pytest.raises(RepvitNasError, match="'repvit-nas' belongs to another search"):
        run_study(two, start=nothing(two), sharing=Sharing(storage), digest="two", resume=True)


def test_a_study_of_somebody_else_is_not_continued(make_problem, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=storage, study_name="mine").optimize(lambda _: 1.0, n_trials=1)
    problem = make_problem(trials=5)

    with pytest.raises(RepvitNasError, match="belongs to another search: give another"):
        run_study(problem, start=nothing(problem), sharing=Sharing(storage, "mine"), resume=True)


def test_a_study_in_a_storage_that_stopped_within_a_batch_repeats_no_draws(make_problem, tmp_path):
    """A storage cannot forget the trials of the batch, so that is filled up with new draws."""
    storage = f"sqlite:///{tmp_path}/study.db"
    for trials in (20, 40):
        problem = make_problem("repvit", sampler="random", trials=trials)
        studied = run_study(problem, start=nothing(problem), sharing=Sharing(storage), resume=True)

    assert studied.evaluations == 40


@pytest.mark.parametrize(
    "url",
    [
        "mysql+nope://me:geheim@host/db",
        "nope://:geheim@host",
        "sqlite:////no/such/folder/x.db?password=geheim&a=b",
        "postgresql://me:ge@heim/geheim@host:port/db",
    ],
)
def test_a_password_in_a_url_is_not_told(make_problem, url):
    problem = make_problem(trials=5)

    with pytest.raises(RepvitNasError, match=r"cannot be opened") as error:
        run_study(problem, start=nothing(problem), sharing=Sharing(url))

    assert "heim" not in str(error.value)
    assert "***" in str(error.value)


def test_a_sequential_sampler_logs_every_trial_and_heeds_the_clock(make_problem, tmp_path):
    problem = make_problem("repvit", sampler="tpe", trials=100_000)
    checkpoint = Checkpoint(tmp_path / "study", "d")

    began = time.monotonic()
    studied = run_study(problem, start=nothing(problem), checkpoint=checkpoint, timeout_s=0.05)

    assert time.monotonic() - began < 2
    assert studied.interrupted
    assert 0 < len(studied.choices) < BATCH
    assert [len(batch) for batch in checkpoint.read()] == [1] * len(studied.choices)


def test_a_log_may_be_longer_than_any_other_file(make_problem, tmp_path, monkeypatch):
    problem = make_problem(trials=BATCH)
    checkpoint = Checkpoint(tmp_path / "study", "d")
    run_study(problem, start=nothing(problem), checkpoint=checkpoint)

    monkeypatch.setattr(files, "MAX_BYTES", 100)

    assert len(checkpoint.read()) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"choices":[0,', b'"choices":[99,'),
        (b'"choices":[', b'"choices":[0,'),
        (b'"values":[', b'"values":[1.0,'),
        (b'"constraints":[', b'"constraints":[1.0,'),
        (b'"notes":{', b'"notes":{"a":1,'),
        (b':generation":0', b':generation":7'),
        (b':generation":0', b':generation":-1'),
        (b'"notes":{', b'"colour":{'),
    ],
)
def test_a_trial_that_cannot_be_is_named_with_its_line(make_problem, tmp_path, old, new):
    part, problem = make_problem(trials=3 * BATCH), make_problem(trials=4 * BATCH)
    checkpoint = Checkpoint(tmp_path / "study", "d")
    run_study(part, start=nothing(problem), checkpoint=checkpoint)
    lines = checkpoint.path.read_bytes().splitlines(keepends=True)
    at = 1 if b":generation" in old else 2
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new, 1)
    checkpoint.path.write_bytes(b"".join(lines))

    with pytest.raises(FileError, match=f"study: line {at + 1} "):
        run_study(problem, start=nothing(problem), checkpoint=checkpoint, resume=True)


def test_a_time_out_ends_the_study_with_what_it_has(make_problem):
    problem = make_problem("repvit", trials=1_000_000)

    studied = run_study(problem, start=nothing(problem), timeout_s=0.5)

    assert studied.interrupted
    assert 0 < len(studied.choices) < 1_000_000
    assert len(studied.choices) % BATCH == 0


def test_a_trial_that_would_end_after_the_time_out_is_not_begun(make_problem):
    problem = make_problem(trials=100, sampler="tpe")

    studied = run_study(
        problem,
        start=problem.space.sample(np.random.default_rng(0), 1),
        timeout_s=1.0,
        progress=lambda _: time.sleep(0.6),
    )

    assert len(studied.choices) == 1
    assert studied.interrupted


def test_ctrl_c_ends_the_study_with_what_it_has(make_problem):
    problem = make_problem(trials=500)

    def interrupt(done):
        if done >= 2 * BATCH:
            raise KeyboardInterrupt

    studied = run_study(problem, start=nothing(problem), progress=interrupt)

    assert studied.interrupted
    assert len(studied.choices) == 2 * BATCH


def test_a_torn_last_line_is_cut_off_and_a_broken_one_named(make_problem, tmp_path):
    problem = make_problem(trials=3 * BATCH)
    checkpoint = Checkpoint(tmp_path / "study", "d")
    run_study(problem, start=nothing(problem), checkpoint=checkpoint)
    content = checkpoint.path.read_bytes()

    checkpoint.path.write_bytes(content[:-1000])
    assert len(checkpoint.read()) == 2
    assert checkpoint.path.read_bytes().endswith(b"\n")

    lines = content.splitlines(keepends=True)
    checkpoint.path.write_bytes(lines[0] + lines[1] + b"{rubbish\n" + lines[3])
    with pytest.raises(FileError, match="line 3 is no line of a study"):
        checkpoint.read()

    checkpoint.path.write_bytes(b"rubbish\n")
    with pytest.raises(FileError, match="line 1 is no line of a study"):
        checkpoint.read()

    checkpoint.path.write_bytes(content)
    with pytest.raises(FileError, match="belongs to another search"):
        Checkpoint(checkpoint.path, "other").read()


def test_a_seed_gives_the_same_networks_in_another_process(make_problem):
    code = """
import numpy as np
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.study import run_study
from repvit_nas.search_space import load_space
problem = Problem(load_space("repvit")[0], [load_predictor("iphone12")[0]],
                  load_family_estimator(), Settings(budgets_ms={"iphone12": 0.9}, trials=120))
studied = run_study(problem, start=np.zeros((0, 20), dtype=np.intp))
print(studied.choices.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    problem = make_problem("repvit", trials=120)

    assert run_study(problem, start=nothing(problem)).choices.tobytes().hex() == done.stdout.strip()
