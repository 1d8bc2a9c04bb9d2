"""Tables of a campaign that several machines share."""

from typing import TYPE_CHECKING

from repvit_nas.report.tables import Grid
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.campaign.status import CampaignStatus

HEADER = ("training", "worker", "state", "minutes")


def status_table(status: "CampaignStatus") -> Grid:
    """Return who is at what, and what is trained."""
    cells = [
        *(
            (each.task, each.by, _doing(each.doing, each.done, each.of), f"{each.seconds / 60:.1f}")
            for each in status.running
        ),
        *(
            (each.task, each.by, f"top-1 {each.top1:.2f} %", f"{each.seconds / 60:.1f}")
            for each in status.trained
        ),
        *((name, "", "waits for a worker", "") for name in status.waiting),
        *((name, "", f"left out: {reason}", "") for name, reason in status.failed.items()),
    ]
    return Grid.of(f"Campaign {status.name}", HEADER, cells, left=("worker",), wraps=("state",))


def _doing(doing: str, done: int, of: int) -> str:
    return f"{doing or 'begun'}{f', {done:,} of {of:,}' if of else ''}"


def status_text(status: "CampaignStatus") -> str:
    """Say in a line how far a campaign is."""
    left = len(status.running) + len(status.waiting)
    said = f"{number_of(len(status.trained), 'training')} finished, {left} left"
    if status.failed:
        said += f", {len(status.failed)} left out"
    if status.lost:
        said += f"; {number_of(status.lost, 'worker')} lost on the way, and replaced"
    if status.ended:
        return f"{said}. Ended: {status.ended}."
    if status.left_s is not None:
        minutes = round(status.left_s / 60)
        about = f"about {number_of(minutes, 'minute')}" if minutes else "less than a minute"
        said += f"; {about} left with those who are at work"
    return f"{said}."
