"""Several searches on one study: trials a second, and what a storage costs beside them.

    python benchmarks/bench_workers.py [URL ...]

Each trial takes a second, asleep, so that two cores do for several workers. Promise: up to four workers
keep 0.9 of what they would do each for itself, from when they have started: that takes each a second or
two once, for libraries and the storage's tables, and is said apart. A journal file is tried always; a
database by its URL, which must be empty.
"""

import os
import subprocess
import sys
import tempfile
import time
from typing import Final

TASK_S: Final = 1.0
TASKS: Final = 20
WORKERS: Final = (1, 2, 4)
PROMISE: Final = 0.9
_WORKER: Final = "worker"


def main() -> None:
    """Print trials a second and efficiency for each storage and number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"journal:///{folder}/study.log", *sys.argv[1:]):
            kind = url.partition(":")[0]
            for workers in WORKERS:
                asked = TASKS * workers
                seconds = run(url, f"{workers} workers", workers, asked)
                efficiency = asked * TASK_S / workers / seconds
                kept = "kept" if efficiency >= PROMISE else "missed"
                print(
                    f"{kind:<11} {workers} workers: {asked / seconds:5.2f} trials/s, efficiency "
                    f"{efficiency:.2f}; promise {kept}"
                )
            print(f"{kind:<11} {rate(url):,.0f} trials/s of no length, one worker")
            print(f"{kind:<11} {claims(url):,.0f} trainings/s claimed and told, one worker")


def run(url: str, name: str, workers: int, asked: int) -> float:
    """Return how long workers that begin together take for all trials."""
    command = [sys.executable, __file__, _WORKER, url, name, str(asked)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    started = [each.stdout.readline() for each in running if each.stdout is not None]
    if workers == 1:
        print(f"{url.partition(':')[0]:<11} {started[0].strip()}")
    began = time.monotonic()
    for each in running:
        if each.stdin is not None:
            each.stdin.close()
    for each in running:
        each.wait()
    return time.monotonic() - began


def rate(url: str) -> float:
    """Return how many trials a second one search tells."""
    work(url, "starting", 1, 0.0)
    began = time.monotonic()
    work(url, "fast", 50, 0.0)
    return 50 / (time.monotonic() - began)


def claims(url: str) -> float:
    """Return how many trainings of a campaign a second a worker can look for, claim and tell."""
    import torch

    from repvit_nas.accuracy.observations import AccuracyObservation
    from repvit_nas.campaign.records import RunsAsked, RunsFile, TrainingTask
    from repvit_nas.campaign.runs import begin_runs
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.training import Result, circumstances_of, losses_name
    from repvit_nas.search_space.family import family
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.recipe import load_recipe
    from repvit_nas.training.run import losses_npy
    from repvit_nas.training.spec import DataSpec

    network = family()["repvit_m0_9"].architecture
    file = RunsFile(
        name="claims",
        command="",
        asked=RunsAsked(
            data=DataSpec(name="shapes"), recipe=load_recipe("quick"), recipe_name="quick"
        ),
        tasks=tuple(
            TrainingTask(f"run-{seed}", network, seed, "run", inherits=False) for seed in range(50)
        ),
        data_digest="",
        recipe_digest="",
        classes=("a", "b"),
        resolution=224,
        val_images=2_400,
        trainings="",
    )
    losses = losses_npy(torch.ones(file.val_images))
    with open_study(Sharing(url, "claims")) as study:
        begin_runs(study, file)
        began = time.monotonic()
        for task in file.tasks:
            one = study.look().current[task.name]
            said = AccuracyObservation(
                architecture=network,
                circumstances=circumstances_of(file),
                seed=task.seed,
                top1=50.0,
                losses=losses_name(task),
                origin="trained here",
                source=task.name,
            )
            if not study.claim(one, "bench") or not study.tell(one, Result(said, losses, 1.0)):
                raise RuntimeError(f"{task.name} was not granted")
        return len(file.tasks) / (time.monotonic() - began)


def started(url: str) -> None:
    """Do all that a worker does once, in a study of its own; say how long it took, and wait."""
    began = time.monotonic()
    work(url, f"start of {os.getpid()}", 1, 0.0)
    print(f"a worker starts in {time.monotonic() - began:.1f} s", flush=True)
    sys.stdin.read()


def work(url: str, name: str, asked: int, task_s: float) -> None:
    """Tell trials until there are as many as asked."""
    import numpy as np

    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.searching.problem import Problem
    from repvit_nas.searching.settings import Settings
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.searching.study import run_study

    settings = Settings(budgets_ms={"iphone12": 1.0}, trials=asked, sampler="tpe")
    problem = Problem(
        load_space("repvit")[0], [load_predictor("iphone12")[0]], load_family_estimator(), settings
    )
    run_study(
        problem,
        start=np.zeros((0, len(problem.space.parameters)), dtype=np.intp),
        sharing=Sharing(url, name),
        digest="bench",
        resume="auto",
        progress=lambda _: time.sleep(task_s),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [_WORKER]:
        started(sys.argv[2])
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), TASK_S)
    else:
        main()
