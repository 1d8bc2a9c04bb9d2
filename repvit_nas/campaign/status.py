"""How far a campaign is that several machines share."""

import statistics
from collections.abc import Sequence

import msgspec

from repvit_nas.campaign.records import RunsFile
from repvit_nas.campaign.study import CampaignStudy
from repvit_nas.campaign.tries import ALL_MADE, Tries, Try
from repvit_nas.quantities import Count, Duration, Percent


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is at.

    Attributes:
        task: The training, or the choice of what comes next.
        by: Who.
        doing: What of it.
        done: How much of that.
        of: Of how much.
        seconds: Since it was begun, as the worker says.
    """

    task: str
    by: str
    doing: str
    done: Count
    of: Count
    seconds: Duration


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A training that is finished.

    Attributes:
        task: The training.
        by: Who made it.
        top1: Percent right.
        seconds: What it took.
    """

    task: str
    by: str
    top1: Percent
    seconds: Duration


class CampaignStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a campaign is.

    Attributes:
        name: Of the campaign.
        trained: What is finished, in the order of the trials.
        running: Who is at what.
        waiting: Trainings that wait for a worker.
        failed: Trainings that are left out, with the reasons.
        lost: How often a worker was gone before its end.
        networks: How many different networks are to be trained, as the last who chose was told; None
            where nothing is chosen.
        ended: Why it has ended; empty while it goes on.
        left_s: About how many seconds are left with so many workers; None where nothing tells.
    """

    name: str
    trained: tuple[Ended, ...]
    running: tuple[Running, ...]
    waiting: tuple[str, ...]
    failed: dict[str, str]
    lost: Count
    networks: Count | None
    ended: str
    left_s: Duration | None


def status_of(study: CampaignStudy) -> CampaignStatus:
    """Return how far a campaign is, by one look.

    Raises:
        RepvitNasError: The storage does not answer.
        FileError: It holds what no version of this package wrote.
    """
    tries = study.look()
    state = tries.state
    running = [each for each in tries.current.values() if each.state == "running"]
    busy = {each.task.name for each in running}
    planned = next((each.planned for each in reversed(tries.plans) if each.planned), None)
    reason = "" if planned is None else planned.reason
    if isinstance(study.file, RunsFile):
        reason = ALL_MADE
    ended = "" if state.open else reason
    networks = None if planned is None else planned.networks
    more = 0 if networks is None or ended else max(0, networks - state.networks)
    return CampaignStatus(
        name=study.sharing.name,
        trained=tuple(_ended(tries)),
        running=tuple(_running(each) for each in running),
        waiting=tuple(task.name for task in state.open if task.name not in busy),
        failed=state.failed,
        lost=sum(each.state == "lost" and not each.given_back for each in tries.all),
        networks=networks,
        ended=ended,
        left_s=None
        if ended
        else _left_s(list(state.finished.values()), len(state.open) + more, running),
    )


def _ended(tries: Tries) -> list[Ended]:
    return [
        Ended(
            task=each.task.name,
            by=each.by,
            top1=each.result.observation.top1,
            seconds=each.result.seconds,
        )
        for each in tries.current.values()
        if each.result is not None
    ]


def _running(one: Try) -> Running:
    beat = one.beat
    return Running(
        task=one.task.name,
        by=one.by,
        doing=beat.doing if beat else "",
        done=beat.done if beat else 0,
        of=beat.of if beat else 0,
        seconds=beat.seconds if beat else 0.0,
    )


def _left_s(took: Sequence[float], trainings: int, running: Sequence[Try]) -> float | None:
    """Return how long trainings take that as many workers share as are at work now."""
    if not took or not running:
        return None
    each_s = statistics.fmean(took)
    # One that takes longer than most makes the others no shorter.
    under_way = sum(
        max(0.0, each_s - (each.beat.seconds if each.beat else 0.0)) for each in running
    )
    return (each_s * max(0, trainings - len(running)) + under_way) / len(running)
