"""Several workers on one study: tasks of a second each, and what a storage costs beside them.

    python benchmarks/bench_workers.py [URL ...]
    python benchmarks/bench_workers.py --real [URL ...]

Each training of a campaign, and each trial of a search, takes a second asleep, so that two cores do for several
workers; all else is what `work` and `search` do. Promise: up to four workers keep 0.9 of what they would do each
for itself, from the moment at which all have started to the last result that is told. What a worker needs once,
for libraries and the storage's tables, is said apart. A journal file is tried always; a database by its URL,
which must be empty.

With --real, networks are trained for some ten seconds each, in turn alone and as a task of a campaign, which a worker
claims, gives signs of life of and tells. Promise: that takes less than 2 % longer, in the median.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from repvit_nas.campaign.records import RunsFile, TrainingTask
    from repvit_nas.campaign.training import Result
    from repvit_nas.searching.problem import Problem
    from repvit_nas.shapes import Floats

TASK_S: Final = 1.0
TASKS: Final = 30
WORKERS: Final = (1, 2, 4, 8)
PROMISE: Final = 0.9
# Up to so many workers.
_PROMISED: Final = 4
_POLL_S: Final = 0.1
_KINDS: Final = ("trainings", "trials")
_REAL: Final = "--real"
REAL: Final = 5
_OVERHEAD: Final = 0.02


def main() -> None:
    """Print tasks a second and efficiency for each storage, kind of task and number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        urls = [each for each in sys.argv[1:] if each != _REAL]
        for url in (f"journal:///{folder}/study.log", *urls):
            if _REAL in sys.argv:
                overhead(url)
                continue
            storage = url.partition(":")[0]
            for kind in _KINDS:
                for workers in WORKERS:
                    _say(storage, kind, workers, run(url, kind, workers))
            print(f"{storage:<11} {rate(url):,.0f} trials/s of no length, one worker")
            print(f"{storage:<11} {claims(url):,.0f} trainings/s claimed and told, one worker")


def _say(storage: str, kind: str, workers: int, seconds: float) -> None:
    efficiency = TASKS * TASK_S / seconds
    kept = (
        "" if workers > _PROMISED else f"; promise {'kept' if efficiency >= PROMISE else 'missed'}"
    )
    print(
        f"{storage:<11} {workers} workers: {TASKS * workers / seconds:5.2f} {kind}/s, efficiency "
        f"{efficiency:.2f}{kept}",
        flush=True,
    )


def run(url: str, kind: str, workers: int) -> float:
    """Return how long workers that begin together take until all tasks are told."""
    name, asked = f"{workers} workers, {kind}", TASKS * workers
    if kind == "trainings":
        begin(url, name, asked)
    command = [sys.executable, __file__, kind, url, name, str(asked)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    started = [each.stdout.readline() for each in running if each.stdout is not None]
    if workers == 1:
        print(f"{url.partition(':')[0]:<11} {started[0].strip()}")
    began = time.time()
    for each in running:
        if each.stdin is not None:
            each.stdin.close()
            each.stdin = None
    told = [float((each.communicate()[0].split() or ["nan"])[-1]) for each in running]
    if any(each.returncode for each in running):
        raise RuntimeError(f"a worker of {name} ended with an error")
    return max(told) - began


def rate(url: str) -> float:
    """Return how many trials a second one search tells."""
    search(problem_of(1), url, "starting", 0.0)
    problem = problem_of(50)
    began = time.monotonic()
    search(problem, url, "fast", 0.0)
    return 50 / (time.monotonic() - began)


def claims(url: str) -> float:
    """Return how many trainings of a campaign a second a worker can look for, claim and tell."""
    begin(url, "claims", 50)
    began = time.monotonic()
    train(url, "claims", 0.0)
    return 50 / (time.monotonic() - began)


def begin(url: str, name: str, trainings: int) -> None:
    """Begin a campaign of so many trainings."""
    from repvit_nas.campaign.records import RunsAsked, RunsFile, TrainingTask
    from repvit_nas.campaign.runs import begin_runs
    from repvit_nas.campaign.study import open_study
    from repvit_nas.search_space.family import family
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.recipe import load_recipe
    from repvit_nas.training.spec import DataSpec

    network = family()["repvit_m0_9"].architecture
    file = RunsFile(
        name="bench",
        command="",
        asked=RunsAsked(
            data=DataSpec(name="shapes"), recipe=load_recipe("quick"), recipe_name="quick"
        ),
        tasks=tuple(
            TrainingTask(f"run-{seed}", network, seed, "run", inherits=False)
            for seed in range(trainings)
        ),
        data_digest="",
        recipe_digest="",
        classes=("a", "b"),
        resolution=224,
        val_images=2_400,
        trainings="",
    )
    with open_study(Sharing(url, name)) as study:
        begin_runs(study, file)


def train(url: str, name: str, task_s: float) -> float:
    """Work at a campaign whose trainings are so many seconds of sleep; returns when its last was told."""
    from repvit_nas.campaign.board import CampaignLimits
    from repvit_nas.campaign.records import RunsFile
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.together import StudyBoard
    from repvit_nas.campaign.training import Workplace
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.data import open_data
    from repvit_nas.training.spec import DataSpec

    told = 0.0
    with open_study(Sharing(url, name)) as study, tempfile.TemporaryDirectory() as folder:
        file = study.join()
        if not isinstance(file, RunsFile):
            raise TypeError(f"{name} is no list of trainings")
        data = DataSpec(name="shapes", train_images=48, val_images=24)
        workplace = Workplace(file, data, open_data(data), Path(folder))
        board = StudyBoard(study, workplace, None, lambda _: None)
        while not isinstance(step := board.step(CampaignLimits()), str):
            if step is None:
                time.sleep(_POLL_S)
                continue
            with step as claimed:
                time.sleep(task_s)
                claimed.tell(_said(file, claimed.task, task_s))
                told = time.time()
    return told


def _said(file: "RunsFile", task: "TrainingTask", seconds: float) -> "Result":
    """Return what a training says."""
    import torch

    from repvit_nas.accuracy.observations import AccuracyObservation
    from repvit_nas.campaign.training import Result, circumstances_of, losses_name
    from repvit_nas.training.run import losses_npy

    observation = AccuracyObservation(
        architecture=task.architecture,
        circumstances=circumstances_of(file),
        seed=task.seed,
        top1=50.0,
        losses=losses_name(task),
        origin="trained here",
        source=task.name,
    )
    return Result(observation, losses_npy(torch.ones(file.val_images)), seconds)


def overhead(url: str) -> None:
    """Print by how much longer a real training takes as a task of a campaign than alone."""
    import msgspec
    import numpy as np
    import torch

    from repvit_nas.campaign.board import CampaignLimits
    from repvit_nas.campaign.runs import RunsWishes, begin_runs, runs_file, seeded_tasks
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.together import StudyBoard
    from repvit_nas.campaign.training import Workplace, train_task
    from repvit_nas.search_space.family import family
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.place import Place
    from repvit_nas.training.recipe import load_recipe
    from repvit_nas.training.records import Asked
    from repvit_nas.training.run import asked_network, open_asked
    from repvit_nas.training.spec import DataSpec

    torch.set_num_threads(1)
    asked = Asked(
        architecture=family()["repvit_m0_6"].architecture,
        recipe=load_recipe("quick", {"epochs": 1}),
        data=DataSpec(name="shapes", train_images=384, val_images=96),
    )
    opened = open_asked(asked)
    network = asked_network(asked.architecture, opened, None)
    asked = msgspec.structs.replace(asked, architecture=network)
    ratios, longest = [], 0.0
    with tempfile.TemporaryDirectory() as folder, open_study(Sharing(url, "real")) as study:
        wishes = RunsWishes("bench", "quick", Path(folder) / "shared")
        file = runs_file(asked, seeded_tasks(asked, range(REAL), []), opened, wishes)
        begin_runs(study, file)
        workplace = Workplace(file, asked.data, opened, wishes.trainings)
        alone = workplace._replace(trainings=Path(folder) / "alone")
        board = StudyBoard(study, workplace, None, lambda _: None)
        # What torch does once, it has done then.
        train_task(
            workplace._replace(trainings=Path(folder) / "first"), file.tasks[0], Place("cpu")
        )
        for task in file.tasks:
            began = _clocks()
            train_task(alone, task, Place("cpu"))
            middle = _clocks()
            step = board.step(CampaignLimits())
            if step is None or isinstance(step, str):
                raise RuntimeError(f"{task.name} is not to be had")
            with step as claimed:
                claimed.bring()
                told = claimed.watched(lambda *_: None)
                claimed.tell(train_task(workplace, claimed.task, Place("cpu"), told))
            ratios.append((_clocks() - middle) / (middle - began))
            longest = max(longest, float((middle - began)[0]))
    each = np.array(ratios) - 1
    wall, processor = np.median(each, axis=0)
    kept = "kept" if wall < _OVERHEAD else "missed"
    print(
        f"{url.partition(':')[0]:<11} a training of {longest:.0f} s takes {wall:+.1%} as a task "
        f"({each[:, 0].min():+.1%} to {each[:, 0].max():+.1%}), {processor:+.1%} of processor; promise {kept}",
        flush=True,
    )


def _clocks() -> "Floats":
    """Return seconds by the wall's clock and of this process's processor, `(2,)`."""
    import numpy as np

    return np.array([time.monotonic(), time.process_time()])


def problem_of(asked: int) -> "Problem":
    """Return what is searched, whose tables take half a second to make."""
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.searching.problem import Problem
    from repvit_nas.searching.settings import Settings

    settings = Settings(budgets_ms={"iphone12": 1.0}, trials=asked, sampler="tpe")
    return Problem(
        load_space("repvit")[0], [load_predictor("iphone12")[0]], load_family_estimator(), settings
    )


def search(problem: "Problem", url: str, name: str, task_s: float) -> float:
    """Tell trials until there are as many as asked; returns when the last of this worker was over."""
    import numpy as np

    from repvit_nas.searching.shared import Sharing
    from repvit_nas.searching.study import run_study

    over = 0.0

    def progress(_: int) -> None:
        nonlocal over
        time.sleep(task_s)
        over = time.time()

    run_study(
        problem,
        start=np.zeros((0, len(problem.space.parameters)), dtype=np.intp),
        sharing=Sharing(url, name),
        digest="bench",
        resume="auto",
        progress=progress,
    )
    return over


def worker(kind: str, url: str, name: str, asked: int) -> None:
    """Do all that a worker does once, in a study of its own; say how long it took, wait, and work."""
    began = time.monotonic()
    alone = f"start of {os.getpid()}"
    work: Callable[[str, float], float]
    if kind == "trainings":
        begin(url, alone, 1)
        train(url, alone, 0.0)
        work = functools.partial(train, url)
    else:
        search(problem_of(1), url, alone, 0.0)
        work = functools.partial(search, problem_of(asked), url)
    print(f"a worker of {kind} starts in {time.monotonic() - began:.1f} s", flush=True)
    sys.stdin.read()
    print(work(name, TASK_S), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _KINDS:
        worker(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
