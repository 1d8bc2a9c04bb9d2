"""What a campaign costs beside its trainings, and whether two processes share it.

Promised: 24 of 10,000 candidates chosen in 10 s; 200 observations fitted in 5 s; 500,000 networks a
second priced with the posterior; less than 5 % of a campaign's time beside the trainings; two
processes on two cores at least 1.6 times as fast as one. The last two train for minutes: on a quiet
machine, with `--train`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from repvit_nas.accuracy.observations import AccuracyObservation, Circumstances
from repvit_nas.accuracy.selection import choose
from repvit_nas.accuracy.trained import TrainedEstimator, fit
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.space import load_space
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings

CANDIDATES, CHOSEN, OBSERVATIONS = 10_000, 24, 200
_CHUNK: Final = 100_000
ASKED: Final = (
    *("measure-accuracy", "--data", "shapes", "--train-images", "4800", "--val-images", "960"),
    *("--space", "cifar", "--device", "cpu-epyc", "--foreign", "--budget-ms", "0.2", "--anyway"),
    *("--networks", "16", "--held-out", "0", "--epochs", "2", "--init", "random", "--threads", "1"),
)


def main() -> None:
    """Print what each part takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true", help="train for minutes as well")
    given = parser.parse_args()
    space, _ = load_space("repvit")
    rng = np.random.default_rng(0)
    choices = space.sample(rng, 4 * CANDIDATES)
    shapes = space.decode(choices)
    choices = choices[np.all(space.violations(shapes) <= 0, axis=1)][:CANDIDATES]
    shapes = space.decode(choices)
    circumstances = Circumstances(data="simulated", recipe="none")
    observations = [
        AccuracyObservation(
            architecture=shapes.architecture(row),
            circumstances=circumstances,
            top1=float(70 + rng.standard_normal()),
            top1_sd=0.5,
            origin="imported",
            source=str(row),
        )
        for row in range(OBSERVATIONS)
    ]
    began = time.perf_counter()
    fitted = fit("simulated", observations, Path())
    print(f"{OBSERVATIONS} observations fitted in {time.perf_counter() - began:.2f} s")
    estimator = TrainedEstimator(fitted, observations)
    learned = estimator.learned
    began = time.perf_counter()
    found = choose(learned.effects, learned.columns(shapes), learned.beyond, CHOSEN)
    seconds = time.perf_counter() - began
    print(f"{len(found)} of {len(choices):,} candidates chosen in {seconds:.2f} s")
    predictor, _ = load_predictor("iphone12")
    settings = Settings(budgets_ms={"iphone12": 1.0})
    problem = Problem(space, [predictor], estimator, settings)
    many = space.sample(rng, _CHUNK)
    problem.objectives_at(many[:1000])
    fastest = min(_timed(lambda: problem.objectives_at(many)) for _ in range(5))
    print(f"{_CHUNK / fastest:,.0f} networks/s priced with the posterior")
    if given.train:
        alone = _campaign(1)
        together = _campaign(2)
        print(f"two processes: {alone / together:.2f} times as fast as one")


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _campaign(processes: int) -> float:
    """Run a campaign in so many processes; returns the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "repvit_nas", *ASKED, "--name", "bench", "--json"]
        began = time.perf_counter()
        running = [
            subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(processes)
        ]
        said = [each.communicate()[0] for each in running]
        seconds = time.perf_counter() - began
        if processes == 1:
            _say_overhead(said[0])
        return seconds


def _say_overhead(said: bytes) -> None:
    found = json.loads(said)
    trained, seconds = found["training_seconds"], found["seconds"]
    print(f"one process: {seconds:.0f} s, {1 - trained / seconds:.1%} of it beside the trainings")


if __name__ == "__main__":
    main()
