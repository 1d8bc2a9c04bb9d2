import time

import numpy as np
import optuna
import pytest

from repvit_nas.searching.samplers import Generations, StaticNSGAIISampler
from repvit_nas.searching.study import BATCH, run_study

SIDE = optuna.distributions.IntDistribution(0, 20)


def proposals(make_sampler, batches=12):
    """Return what a sampler proposes in a study of two objectives, batch by batch."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    proposed = []
    for batch in range(batches):
        study.sampler, add = make_sampler(batch)
        trials = [study.ask() for _ in range(10)]
        for trial in trials:
            x, y = trial.suggest_int("x", 0, 20), trial.suggest_int("y", 0, 20)
            proposed.append((x, y))
        for trial in trials:
            x, y = trial.params["x"], trial.params["y"]
            trial.set_constraint("sum", x + y - 30.0)
            add([study.tell(trial, [x**2 + y, (x - 7) ** 2 + (y - 3) ** 2])])
    return proposed


def test_generations_propose_what_optunas_own_search_through_all_trials_does():
    generations = Generations(10)

    def optunas(batch):
        return optuna.samplers.NSGAIISampler(population_size=10, seed=batch), lambda _: None

    def ours(batch):
        space = {"x": SIDE, "y": SIDE}
        return StaticNSGAIISampler(space, generations, seed=batch), generations.add

    assert proposals(ours) == proposals(optunas)


@pytest.mark.slow
def test_a_long_study_takes_no_longer_a_trial_than_a_short_one(make_problem):
    ends = [time.process_time()]

    def progress(done):
        if done % 3000 == 0:
            ends.append(time.process_time())

    run_study(
        make_problem("repvit", trials=15_000),
        start=np.zeros((0, 16), dtype=np.intp),
        progress=progress,
    )

    took = np.diff(ends)
    assert took[-1] <= 1.5 * took[0]
    assert 15_000 % BATCH == 0
