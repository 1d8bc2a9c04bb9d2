"""The tries at the tasks of a campaign, and how far it is by them: what a study's trials say.

Of the tries at a task counts the first that was not lost. So it does no harm that two workers enqueue
the same task, nor that one who was taken for dead comes back: it finds its trial at an end.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec

from repvit_nas.campaign.planning import CampaignState
from repvit_nas.campaign.records import Planned, TrainingTask
from repvit_nas.campaign.training import Result
from repvit_nas.quantities import Count, Duration

# Why a campaign ends whose trainings were known from the start.
ALL_MADE: Final = "all trainings are made"
# A task that so many workers were lost at is what they were lost by.
MOST_LOST: Final = 5

TryState = Literal["waiting", "running", "done", "failed", "lost"]
# A line of what a worker says of itself.
Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=1000)]


class PlanTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="plan"):
    """The choice of the trainings that come next.

    Attributes:
        number: How many choices came before.
    """

    number: Count

    @property
    def name(self) -> str:
        """What it is called; no training is called so, since those end with their seed."""
        return f"plan-{self.number}"


Task: TypeAlias = TrainingTask | PlanTask


class Beat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign of life of whoever works at a task.

    Attributes:
        count: Of the signs so far; a sign is seen by its change.
        doing: What is being done.
        done: How much of it.
        of: Of how much.
        seconds: Since it was claimed.
    """

    count: Count
    doing: Words = ""
    done: Count = 0
    of: Count = 0
    seconds: Duration = 0.0


class Try(NamedTuple):
    """A trial of the study: one worker's try at a task, or one that waits for a worker.

    Attributes:
        number: Of the trial.
        trial_id: What the storage calls it.
        task: What is to be done.
        state: How far it is.
        by: Who does it, or did.
        beat: The last sign of life.
        reason: Why it failed, where it did.
        given_back: Whether its worker gave it back, rather than being lost.
        result: What a finished training says.
        planned: What a finished choice says.
    """

    number: int
    trial_id: int
    task: Task
    state: TryState
    by: str = ""
    beat: Beat | None = None
    reason: str = ""
    given_back: bool = False
    result: Result | None = None
    planned: Planned | None = None


class Tries:
    """All tries of a campaign, as they were at one moment.

    Args:
        tries: In the order of their numbers.
        wanted: The trainings that are known before any is chosen.
    """

    def __init__(self, tries: Sequence[Try], wanted: Sequence[TrainingTask] = ()) -> None:
        self.all = tuple(tries)
        self._wanted = tuple(wanted)

    @cached_property
    def current(self) -> dict[str, Try]:
        """The try that counts of each task that has one, by the task's name."""
        found: dict[str, Try] = {}
        lost: dict[str, int] = {}
        for each in self.all:
            name = each.task.name
            if each.state != "lost":
                found.setdefault(name, each)
                continue
            lost[name] = lost.get(name, 0) + (not each.given_back)
            if lost[name] >= MOST_LOST:
                said = f"{MOST_LOST} workers were lost at it, the last: {each.by or 'unknown'}"
                found.setdefault(name, each._replace(state="failed", reason=said))
        return found

    @cached_property
    def plans(self) -> list[Try]:
        """The tries that count at choosing what comes next, in order."""
        found = [each for each in self.current.values() if isinstance(each.task, PlanTask)]
        return sorted(found, key=lambda each: each.number)

    @cached_property
    def trainings(self) -> tuple[TrainingTask, ...]:
        """All trainings, in the order in which they were chosen."""
        planned = [task for each in self.plans if each.planned for task in each.planned.tasks]
        enqueued = [each.task for each in self.all if isinstance(each.task, TrainingTask)]
        found: dict[str, TrainingTask] = {}
        for task in (*self._wanted, *planned, *enqueued):
            found.setdefault(task.name, task)
        return tuple(found.values())

    @cached_property
    def missing(self) -> list[Task]:
        """The tasks that no try counts of: they are to be enqueued."""
        tasks: list[Task] = [*self.trainings]
        tasks += [each.task for each in self.all if isinstance(each.task, PlanTask)]
        return list({task.name: task for task in tasks if task.name not in self.current}.values())

    @cached_property
    def state(self) -> CampaignState:
        """How far the campaign is."""
        ended = [self.current[task.name] for task in self.trainings if task.name in self.current]
        results = [(each.task.name, each.result) for each in ended if each.result]
        return CampaignState(
            tasks=self.trainings,
            finished={name: result.seconds for name, result in results},
            failed={each.task.name: each.reason for each in ended if each.state == "failed"},
            observations=tuple(result.observation for _, result in results),
        )

    @property
    def running(self) -> list[Try]:
        """The tries that somebody is at."""
        return [each for each in self.all if each.state == "running"]
