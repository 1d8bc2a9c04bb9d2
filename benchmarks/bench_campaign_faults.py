"""Bad luck of a campaign on several machines, counted.

    python benchmarks/bench_campaign_faults.py [--times 20] [--seed 0] [--only worker,planner,...] [--down 30] [--on mysql]

Two workers share a campaign of six short trainings on a scratch PostgreSQL, or MariaDB. It runs undisturbed once.
Then something happens at a random moment, and whoever is left goes on by itself. In the end no training
may be lost or told twice, and the observations must be those of the undisturbed campaign, to the bit.
Workers are taken for dead after two seconds here, a minute otherwise. Needs Debian's postgresql or mariadb-server.
"""

import argparse
import contextlib
import datetime as dt
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

# Here, where workers are made from, though they are used there alone: each would load them anew.
import alembic.command  # noqa: F401
import optuna.artifacts  # noqa: F401
import sqlalchemy.orm  # noqa: F401
import timm.data  # noqa: F401
import torch

from repvit_nas.accuracy.observations import ObservationLog
from repvit_nas.accuracy.responses import read_losses
from repvit_nas.artifacts import open_artifacts
from repvit_nas.campaign.artifacts import Artifacts
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.opening import open_campaign, open_workplace
from repvit_nas.campaign.records import CampaignAsked
from repvit_nas.campaign.run import run_campaign, work_on
from repvit_nas.campaign.study import CampaignStudy, open_study
from repvit_nas.campaign.together import StudyBoard
from repvit_nas.campaign.training import Workplace
from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.shared import Sharing
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.spec import DataSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from databases import MariaDB, PostgreSQL  # type: ignore[import-not-found]

NAME: Final = "toys"
STALE_S: Final = 2.0
LIMITS: Final = CampaignLimits(networks=4)
# Processes that are copies of this one start at once, with all libraries.
FORK: Final = multiprocessing.get_context("fork")
_LIMIT_S: Final = 300.0


class Bench(NamedTuple):
    """Where a campaign runs once.

    Attributes:
        server: The database.
        url: Of the campaign's own database there.
        home: A folder that nobody has used.
        moment_s: When the bad luck comes.
        down_s: How long the database is down.
    """

    server: Any
    url: str
    home: Path
    moment_s: float
    down_s: float


def asked() -> CampaignAsked:
    """Return a campaign of the smallest networks, a fraction of a second each."""
    return CampaignAsked(
        data=DataSpec(name="shapes", train_images=48, val_images=24),
        recipe=load_recipe("proxy", {"epochs": 2, "batch": 16}),
        recipe_name="proxy",
        space="cifar",
        budgets_ms={"cpu-epyc": 0.15},
        held_out=2,
    )


def planner(url: str, home: Path, store: Path | None = None) -> None:
    """Be a worker who chooses as well: `measure-accuracy --storage`."""
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    with open_study(_sharing(url)) as study:
        campaign = open_campaign(
            NAME,
            asked(),
            trainings=Path("trainings"),
            foreign=True,
            anyway=True,
            agree=study.agree,
        )
        kept = _kept(study, campaign.workplace, store)
        board = StudyBoard(study, campaign.workplace, campaign, _say, kept)
        run_campaign(campaign, LIMITS, board=board, say=_say)


def helper(url: str, home: Path, store: Path | None = None, *, clock_off: bool = False) -> None:
    """Be a worker who only trains: `work`."""
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    if clock_off:
        _set_clock_off()
    with open_study(_sharing(url)) as study:
        while True:
            try:
                file = study.join()
                break
            except RepvitNasError:  # nobody has begun it yet
                time.sleep(0.1)
        workplace = open_workplace(
            file, name="shapes", root="", trainings=Path("trainings"), device="cpu"
        )
        board = StudyBoard(study, workplace, None, _say, _kept(study, workplace, store))
        work_on(board, workplace, LIMITS, say=_say)


def _kept(study: CampaignStudy, workplace: Workplace, store: Path | None) -> Artifacts | None:
    if store is None:
        return None
    return Artifacts(open_artifacts(str(store)), study, workplace, checkpoints=True, say=_say)


def _sharing(url: str) -> Sharing:
    return Sharing(url, NAME, say=_say, stale_s=STALE_S)


def _say(line: str) -> None:
    with Path("said.txt").open("a") as file:
        file.write(f"{os.getpid()}: {line}\n")


def _set_clock_off() -> None:
    """Set this process's clock an hour ahead, as far as Python and Optuna look at it."""
    import optuna.storages._rdb.storage as rdb

    class Later(dt.datetime):
        """A clock that is an hour ahead."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> "Later":
            """Return the wrong time."""
            return super().now(tz) + dt.timedelta(hours=1)

    right = time.time
    time.time = lambda: right() + 3600
    rdb.datetime = Later  # type: ignore[attr-defined]


def started(what: Callable[..., None], *given: Any, **named: Any) -> Any:
    """Start a worker in a process of its own."""
    process = FORK.Process(target=_alone, args=(what, given, named), daemon=True)
    process.start()
    return process


def _alone(what: Callable[..., None], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    try:
        what(*given, **named)
    except RepvitNasError as error:
        _say(f"error: {error}")
        os._exit(1)


def kill(process: Any) -> None:
    """Kill a worker as a machine dies."""
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def undisturbed(bench: Bench) -> Path:
    """Let two workers go on until they end."""
    both = [
        started(planner, bench.url, bench.home / "a"),
        started(helper, bench.url, bench.home / "b"),
    ]
    return ended(both, bench.home / "a")


def a_worker_dies(bench: Bench) -> Path:
    """Kill the one who only trains."""
    stays = started(planner, bench.url, bench.home / "a")
    dies = started(helper, bench.url, bench.home / "b")
    time.sleep(bench.moment_s)
    kill(dies)
    return ended([stays], bench.home / "a")


def the_planner_dies(bench: Bench) -> Path:
    """Kill the one who chose first; another, elsewhere, takes over."""
    dies = started(planner, bench.url, bench.home / "a")
    time.sleep(min(0.5, bench.moment_s))
    stays = started(planner, bench.url, bench.home / "b")
    time.sleep(max(0.0, bench.moment_s - 0.5))
    kill(dies)
    return ended([stays], bench.home / "b")


def the_database_dies(bench: Bench) -> Path:
    """Kill the database and start it again after a while."""
    both = [
        started(planner, bench.url, bench.home / "a"),
        started(helper, bench.url, bench.home / "b"),
    ]
    time.sleep(bench.moment_s)
    bench.server.kill()
    time.sleep(bench.down_s)
    bench.server.start()
    return ended(both, bench.home / "a")


def a_clock_is_off(bench: Bench) -> Path:
    """Let the clock of one worker be an hour ahead, and kill that worker."""
    stays = started(planner, bench.url, bench.home / "a")
    off = started(helper, bench.url, bench.home / "b", clock_off=True)
    time.sleep(bench.moment_s)
    kill(off)
    return ended([stays], bench.home / "a")


def two_in_one_folder(bench: Bench) -> Path:
    """Start two who choose in one folder, and stop one for a while, so that it is taken for dead."""
    both = [started(planner, bench.url, bench.home / "a") for _ in range(2)]
    time.sleep(bench.moment_s)
    os.kill(both[1].pid, signal.SIGSTOP)
    time.sleep(2 * STALE_S)
    os.kill(both[1].pid, signal.SIGCONT)
    return ended(both, bench.home / "a")


def the_store_is_full(bench: Bench) -> Path:
    """Keep files in a store of 64 KiB, where no weights fit; needs the right to mount one."""
    store = bench.home / "store"
    store.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(store)], check=True)
    try:
        both = [
            started(planner, bench.url, bench.home / "a", store),
            started(helper, bench.url, bench.home / "b", store),
        ]
        time.sleep(bench.moment_s)
        kill(both.pop())
        return ended(both, bench.home / "a")
    finally:
        subprocess.run(["umount", str(store)], check=True)


def everything_at_once(bench: Bench) -> Path:
    """Take one of two in a folder for dead, kill the other when it is back, then the database."""
    stays, dies = (started(planner, bench.url, bench.home / "a") for _ in range(2))
    time.sleep(bench.moment_s / 3)
    os.kill(stays.pid, signal.SIGSTOP)
    time.sleep(2 * STALE_S)
    os.kill(stays.pid, signal.SIGCONT)
    time.sleep(bench.moment_s / 3)
    kill(dies)
    time.sleep(bench.moment_s / 3)
    bench.server.kill()
    time.sleep(bench.down_s)
    bench.server.start()
    return ended([stays], bench.home / "a")


FAULTS: Final[dict[str, Callable[[Bench], Path]]] = {
    "worker": a_worker_dies,
    "planner": the_planner_dies,
    "database": the_database_dies,
    "clock": a_clock_is_off,
    "folder": two_in_one_folder,
    "store": the_store_is_full,
    "all": everything_at_once,
}


def ended(processes: Sequence[Any], home: Path) -> Path:
    """Wait until workers end by themselves.

    Raises:
        RuntimeError: One does not, or ends with an error.
    """
    end = time.monotonic() + _LIMIT_S
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.exitcode is None:
            kill(process)
    if any(codes):
        said = [line for line in _said(home.parent) if "error: " in line]
        raise RuntimeError(f"ended with {codes} {said[-1:]}")
    return home / "predictors" / "accuracy" / NAME


def _said(home: Path) -> list[str]:
    return [line for path in home.rglob("said.txt") for line in path.read_text().splitlines()]


def seen(folder: Path) -> dict[str, Any]:
    """Return what a campaign's folder says of each training, and refuse one that is told twice."""
    observations = ObservationLog(folder).read()
    twice = [
        name for name, count in Counter(one.source for one in observations).items() if count > 1
    ]
    if twice:
        raise RuntimeError(f"told twice: {twice}")
    return {one.source: (one, read_losses(folder / one.losses).tolist()) for one in observations}


def wrong_with(bench: Bench, folder: Path, wanted: dict[str, Any]) -> str:
    """Say what is wrong with what a campaign left."""
    found = seen(folder)
    lost = sorted(wanted.keys() - found.keys())
    if lost:
        return f"lost: {lost}"
    if found != wanted:
        return f"other observations: {[name for name in found if found[name] != wanted.get(name)]}"
    with open_study(_sharing(bench.url)) as study:
        study.join()
        tries = study.look()
    done = Counter(each.task.name for each in tries.all if each.state == "done")
    twice = [name for name, count in done.items() if count > 1]
    left = [task.name for task in tries.state.open]
    return f"told twice: {twice}; left: {left}" if twice or left else ""


SERVERS = {"postgresql": PostgreSQL, "mysql": MariaDB}


def main(words: Sequence[str] | None = None) -> int:
    """Print the counts; return how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--on", choices=SERVERS, default="postgresql")
    parser.add_argument("--down", type=float, default=30.0)
    given = parser.parse_args(words)
    rng = random.Random(given.seed)
    total = 0
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        server = SERVERS[given.on](Path(place))
        server.start()
        stack.callback(server.kill)
        runs = iter(range(10_000))

        def bench(moment_s: float) -> Bench:
            number = next(runs)
            home = Path(place) / f"home-{number}"
            return Bench(server, server.database(f"run{number}"), home, moment_s, given.down)

        began = time.monotonic()
        wanted = seen(undisturbed(bench(0.0)))
        took = time.monotonic() - began
        print(f"undisturbed: {len(wanted)} trainings in {took:.1f} s", flush=True)
        for name in given.only.split(","):
            wrong, lost = [], 0
            for _ in range(given.times):
                once = bench(rng.uniform(0.1, 0.95) * took)
                try:
                    found = wrong_with(once, FAULTS[name](once), wanted)
                except RuntimeError as error:
                    found = str(error)
                lost += any("nothing was heard of" in line for line in _said(once.home))
                wrong += [found] if found else []
            total += len(wrong)
            print(
                f"{name:<9} {given.times:3} times, {len(wrong)} wrong {wrong[:2] or ''}; "
                f"a task was given to another in {lost}",
                flush=True,
            )
    return total


if __name__ == "__main__":
    sys.exit(min(1, main()))
