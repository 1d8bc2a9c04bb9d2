"""The reference family of a run: trained by the same recipe, and what became of each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas.architecture import Architecture, with_output
from repvit_nas.errors import UnknownNameError
from repvit_nas.search_space.family import family
from repvit_nas.training.data import is_folder, moved
from repvit_nas.training.place import Place
from repvit_nas.training.records import (
    FAMILY_FOLDER,
    RANDOM,
    Asked,
    finished_training,
    is_training_run,
    read_training,
)
from repvit_nas.training.torchrun import going_on, shared_out, train_by
from repvit_nas.training.trained import TrainedRun
from repvit_nas.units import Network
from repvit_nas.words import Progress, Say

BESIDE: Final = ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3")


class Member(NamedTuple):
    """A reference network beside a run.

    Attributes:
        name: Its name.
        title: What people call it.
        architecture: The network, of the run's input and output.
        top1: Percent right after the same training on the same images; None where there was none.
    """

    name: str
    title: str
    architecture: Network
    top1: float | None


def family_names(text: str | None) -> list[str]:
    """Return the reference networks that `all` or `NAME,...` stands for; none for nothing.

    Raises:
        UnknownNameError: There is no such network.
    """
    names = list(BESIDE) if text == "all" else [each.strip() for each in (text or "").split(",")]
    names = [name for name in names if name]
    for name in names:
        if name not in family():
            raise UnknownNameError.of("reference network", name, list(family()))
    return names


def train_beside(
    run: TrainedRun,
    names: Iterable[str],
    *,
    data: str = "",
    processes: int = 1,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> None:
    """Train reference networks as a run was trained, unless that was done before.

    Args:
        run: The run; they are trained in folders of its own.
        names: The reference networks.
        data: Where the images are now; empty for where the run had them.
        processes: How many train each together.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: One cannot be trained.
    """
    asked = run.asked
    if data:
        asked = msgspec.structs.replace(asked, data=moved(asked.data, data))
    for name in names:
        place = run.folder / FAMILY_FOLDER / name
        if finished_training(place) is not None:
            continue
        start = "" if asked.init == RANDOM else f", from timm's published weights of {name}"
        say(f"training {name} by the same recipe on the same images{start}, in {place}")
        train_by(
            going_on(shared_out(member_asked(asked, name), processes), place),
            place,
            Place(),
            command=f"repvit-nas check {run.folder} --train-family {name}",
            resume=is_training_run(place),
            say=say,
            progress=progress,
        )


def members(run: TrainedRun) -> tuple[Member, ...]:
    """Return the reference networks beside a run; those that were trained as it was have accuracies.

    Raises:
        FileError: What one's training left is not valid.
    """
    places = {name: run.folder / FAMILY_FOLDER / name for name in BESIDE}
    asked = {name: member_asked(run.asked, name) for name in BESIDE}
    return tuple(
        Member(name, family()[name].title, one.architecture, _top1(places[name], one))
        for name, one in asked.items()
    )


def member_asked(asked: Asked, name: str) -> Asked:
    """Return what a reference network is asked: all that the variant was, but for the network."""
    architecture = as_trained(family()[name].architecture, asked.architecture)
    init = asked.init if asked.init == RANDOM else name
    return msgspec.structs.replace(asked.by_one, architecture=architecture, init=init)


def as_trained(architecture: Architecture, like: Network) -> Architecture:
    """Return a reference network with the input and what is handed back of another network."""
    return with_output(
        architecture, like.output, num_classes=like.num_classes, resolution=like.resolution
    )


def _top1(place: Path, asked: Asked) -> float | None:
    """Return what a training reached that was asked this; where a folder of images lay is no difference."""
    if not is_training_run(place):
        return None
    found = read_training(place)
    there = found.asked
    if is_folder(there.data.name) and is_folder(asked.data.name):
        there = msgspec.structs.replace(there, data=moved(there.data, asked.data.name))
    return found.outcome.top1 if found.outcome and there.by_one == asked else None
