"""Finals: the best networks of a search and the nearest references, by the whole recipe, with seeds."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from repvit_nas import files
from repvit_nas.architecture import Architecture, with_classes, with_output
from repvit_nas.campaign.records import TrainingTask
from repvit_nas.checking.seeds import half_interval
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import refuse_links
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import load_space
from repvit_nas.searching.records import read_finished
from repvit_nas.training.data import Opened, open_data
from repvit_nas.training.kept import kept
from repvit_nas.training.place import Place
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import RANDOM, Asked, Precision, is_training_run
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.torchrun import going_on, shared_out, train_by
from repvit_nas.words import Progress, Say

FINALS_FILE: Final = "finals.json"
# Has trainings made, each in its folder: what they have in common, which they are, and their images.
Share: TypeAlias = Callable[[Asked, Sequence[TrainingTask], Opened], None]


class Entrant(NamedTuple):
    """A network of the finals and what it costs."""

    architecture: Architecture
    latency_ms: float
    reference: bool


class FinalRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network of the finals.

    Attributes:
        name: Of the network.
        architecture: The network.
        reference: Whether it is a reference, and no winner.
        latency_ms: Predicted, on the first device of the search.
        top1: Percent right, by seed.
        lead: By how many points the first winner is ahead, mean over the seeds; None of itself.
        lead_half: Half the width of its 90 % interval (Student's t, paired by seed).
    """

    name: str
    architecture: Architecture
    reference: bool
    latency_ms: float
    top1: tuple[float, ...]
    lead: float | None = None
    lead_half: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the seeds tell which of the two is ahead."""
        return (
            self.lead is not None and self.lead_half is not None and abs(self.lead) > self.lead_half
        )


class Finals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `finals.json` (schema 1).

    Attributes:
        run: The search whose winners these are.
        device: Whose latencies are predicted.
        data: The images.
        recipe: By which all were trained.
        seeds: With which seeds.
        best: The winner that the search puts first.
        networks: Winners, then references; the most accurate first in each.
    """

    schema: Literal[1] = 1
    run: str
    device: str
    data: str
    recipe: Recipe
    seeds: tuple[int, ...]
    best: str
    networks: tuple[FinalRow, ...]


class FinalsWishes(NamedTuple):
    """How finals are held.

    Attributes:
        data: Which images.
        recipe: The whole recipe.
        seeds: With how many seeds each network is trained.
        winners: How many winners of the search.
        references: Networks beside them; empty for the nearest of the family.
        precision: In which numbers networks are computed.
        processes: How many train each network together.
    """

    data: DataSpec
    recipe: Recipe
    seeds: int = 3
    winners: int = 4
    references: tuple[Architecture, ...] = ()
    precision: Precision = "fp32"
    processes: int = 1


def entrants(
    run: Path, wishes: FinalsWishes, *, foreign: bool = False
) -> tuple[str, list[Entrant]]:
    """Return the device of a search, its best winners, and the references beside them.

    Raises:
        RepvitNasError: The folder holds no finished search.
    """
    found, result, _ = read_finished(run)
    settings = found.settings
    chosen = result.winning[: wishes.winners]
    if not chosen:
        raise RepvitNasError(f"{run}: has no winner to train")
    device = next(iter(settings.budgets_ms))
    predictor, _ = load_predictor(device, foreign=foreign)
    space, _ = load_space(settings.space)
    like = chosen[0].architecture
    known = wishes.references or tuple(
        each.architecture for each in family().values() if not each.legacy
    )
    beside = []
    for reference in known:
        shaped = with_output(
            reference, like.output, num_classes=like.num_classes, resolution=like.resolution
        )
        if not wishes.references:
            try:
                space.encode(shaped)
            except RepvitNasError:
                continue
        latency = predictor.estimate(shaped).latency_ms
        beside.append(Entrant(shaped, latency, reference=True))
    budget = settings.budgets_ms[device]
    if not wishes.references:  # the last within the budget, and the first beyond it
        within = sorted((one for one in beside if one.latency_ms <= budget), key=_latency)[-1:]
        beyond = sorted((one for one in beside if one.latency_ms > budget), key=_latency)[:1]
        beside = [*within, *beyond]
    winning = [Entrant(entry.architecture, entry.latency_ms, reference=False) for entry in chosen]
    return device, [*winning, *beside]


def _latency(one: Entrant) -> float:
    return one.latency_ms


def hold_finals(
    run: Path,
    wishes: FinalsWishes,
    folder: Path,
    place: Place | None = None,
    *,
    foreign: bool = False,
    command: str = "",
    share: Share = lambda _, __, ___: None,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> Finals:
    """Train the best networks of a search and the references beside them; to be gone on with.

    Seeds are the outer loop, so that finals that end early compare what they have.

    Args:
        run: A finished search.
        wishes: How the finals are held.
        folder: Where the training runs and `finals.json` go.
        place: On what networks are trained.
        foreign: Accept a processor's table that was measured on another machine.
        command: The command line that repeats it.
        share: Has the trainings made before by others; what it leaves out is trained here.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The search, the images or the recipe cannot be used.
        FileError: Something cannot be written.
    """
    for each in (run, folder):
        refuse_links(each, "choose another folder with --out")
    device, networks = entrants(run, wishes, foreign=foreign)
    opened = kept(open_data(wishes.data, networks[0].architecture.resolution))
    shaped = [with_classes(each.architecture, len(opened.classes)) for each in networks]
    common = Asked(
        architecture=shaped[0],
        recipe=wishes.recipe,
        data=wishes.data,
        init=RANDOM,
        precision=wishes.precision,
    )
    by_several = shared_out(common, wishes.processes)
    tasks = [_task(each, seed) for seed in range(wishes.seeds) for each in shaped]
    share(common, tasks, opened)
    top1: dict[str, list[float]] = {}
    for seed in range(wishes.seeds):
        for architecture in shaped:
            target = folder / _task(architecture, seed).name
            asked = msgspec.structs.replace(by_several, architecture=architecture, seed=seed)
            record = train_by(
                going_on(asked, target),
                target,
                place or Place(),
                opened=opened,
                command=command,
                resume=is_training_run(target),
                progress=lambda doing, done, of, name=target.name: progress(  # type: ignore[misc]
                    f"{name}, {doing}", done, of
                ),
            )
            if record.outcome is not None:
                top1.setdefault(architecture.name, []).append(record.outcome.top1)
        say(f"seed {seed}: " + ", ".join(f"{name} {each[-1]:.2f}" for name, each in top1.items()))
        found = _finals(run, device, wishes, networks, top1)
        files.write_json(folder / FINALS_FILE, found)
    return found


def _task(architecture: Architecture, seed: int) -> TrainingTask:
    """Return the training of a network with a seed."""
    return TrainingTask(
        f"{architecture.name}-seed-{seed}", architecture, seed, "run", inherits=False
    )


def _finals(
    run: Path,
    device: str,
    wishes: FinalsWishes,
    networks: Sequence[Entrant],
    top1: dict[str, list[float]],
) -> Finals:
    means = {name: statistics.fmean(each) for name, each in top1.items()}
    # The search's own choice: the best by these very seeds would lead by chance as well.
    best = next(one.architecture.name for one in networks if not one.reference)
    rows = [
        _row(one, top1[one.architecture.name], best, top1[best])
        for one in sorted(networks, key=lambda one: (one.reference, -means[one.architecture.name]))
    ]
    return Finals(
        run=str(run),
        device=device,
        data=wishes.data.name,
        recipe=wishes.recipe,
        seeds=tuple(range(len(top1[best]))),
        best=best,
        networks=tuple(rows),
    )


def _row(one: Entrant, own: Sequence[float], best: str, leader: Sequence[float]) -> FinalRow:
    row = FinalRow(
        name=one.architecture.name,
        architecture=one.architecture,
        reference=one.reference,
        latency_ms=one.latency_ms,
        top1=tuple(own),
    )
    if row.name == best:
        return row
    leads = [ours - theirs for ours, theirs in zip(leader, own, strict=True)]
    return msgspec.structs.replace(
        row,
        lead=statistics.fmean(leads),
        lead_half=half_interval(leads) if len(leads) > 1 else None,
    )


def sentence(finals: Finals) -> str:
    """Say in one sentence whether the first winner leads the references."""
    best = next(row for row in finals.networks if row.name == finals.best)
    said = []
    for row in finals.networks:
        if not row.reference or row.lead is None:
            continue
        half = "" if row.lead_half is None else f" ± {row.lead_half:.2f}"
        if row.lead_half is None:
            how = "one seed does not tell"
        elif not row.settled:
            how = "not settled"
        else:
            how = "it leads" if row.lead > 0 else "it is behind"
        said.append(
            f"{row.lead:+.2f}{half} points to {row.name}, {row.latency_ms:.3f} ms predicted ({how})"
        )
    beside = "; ".join(said) or "no reference is beside it"
    return (
        f"The winner {best.name} ({best.latency_ms:.3f} ms predicted on {finals.device}, "
        f"{statistics.fmean(best.top1):.2f} %, {len(finals.seeds)} seeds): {beside}."
    )
