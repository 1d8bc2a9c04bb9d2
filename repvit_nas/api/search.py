"""`search`: the networks that are most accurate within a budget of milliseconds."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from repvit_nas import files
from repvit_nas.accuracy.trained import FAMILY
from repvit_nas.api.loading import estimator_of, path_of
from repvit_nas.api.shown import Shown, axes_or_new
from repvit_nas.architecture import LOGITS, OUTPUTS, shape_text
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError, WrongTypeError
from repvit_nas.folders import Resume
from repvit_nas.report.run_picture import draw
from repvit_nas.report.run_report import budgets, families_of, render, winners_table
from repvit_nas.report.tables import Grid, html
from repvit_nas.searching import run as running
from repvit_nas.searching.entries import entries_of, names_of
from repvit_nas.searching.folder import RunFolder
from repvit_nas.searching.front import front_of
from repvit_nas.searching.inputs import Inputs, input_of, load_inputs
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.records import (
    BEST,
    WHOLE_FILE,
    FrontEntry,
    Result,
    RunFile,
    front_columns,
    read_finished,
)
from repvit_nas.searching.run import NO_PROGRESS, Finding
from repvit_nas.searching.settings import SAMPLERS, Settings, command_line, default_folder
from repvit_nas.searching.shared import STUDY_NAME, Sharing
from repvit_nas.searching.whole import unpack_whole
from repvit_nas.storages import WAIT_S
from repvit_nas.words import Progress

# How many trials of a sampler that learns from every single one take minutes.
_SLOW = {"gp": 100, "tpe": 5000}


class Search(Shown, msgspec.Struct, frozen=True):
    """A finished search.

    `search["iphone12-0.9987ms"]` is the network of that name, `search["best"]` the best, `search[1]`
    the second of those with a file. Going through a search goes through its front.

    Attributes:
        result: The front and what is known of it, as in `front.json`.
        run: How to repeat it, as in `run.json`.
        folder: Where it is written; None if it is nowhere.
        seconds: How long it took; None if it was read.
        missed: What the nearest network breaks, in words, where no network keeps the limits.
        inputs: What it loaded; None if it was read.
        packed: The whole front as in `front.npz`, where that of the result is thinned.
    """

    result: Result
    run: RunFile
    folder: Path | None = None
    seconds: float | None = None
    missed: tuple[str, ...] = ()
    inputs: Inputs | None = None
    packed: bytes = b""

    @property
    def front(self) -> tuple[FrontEntry, ...]:
        """The Pareto front, fastest first."""
        return self.result.front

    @property
    def best(self) -> FrontEntry:
        """The most accurate network within the budget.

        Raises:
            RepvitNasError: No network keeps the limits; the message says by how much the nearest
                misses them.
        """
        if self.result.best is None:
            raise RepvitNasError(self.why_none())
        return self.result.best

    def why_none(self) -> str:
        """Say why there is no best network, and how far off the nearest is."""
        nearest = shape_text(self.result.front[0].architecture)
        return (
            f"no network of space {self.run.settings.space!r} keeps what was asked; the nearest, "
            f"{nearest}: {'; '.join(self.missed)}"
        )

    def __getitem__(self, name: str | int) -> FrontEntry:
        """Return a network of the front by its name or its place among the winners.

        Raises:
            UnknownNameError: There is no such network; the message suggests the nearest.
        """
        if name == BEST:
            return self.best
        winners = self.result.winning
        if isinstance(name, int):
            if not -len(winners) <= name < len(winners):
                raise UnknownNameError(f"the search has {len(winners)} winners; got number {name}")
            return winners[name]
        by_name = {entry.architecture.name: entry for entry in self.result.front}
        if name not in by_name:
            raise UnknownNameError.of("network of the search", str(name), [BEST, *by_name])
        return by_name[name]

    def __iter__(self) -> Iterator[FrontEntry]:
        """Go through the front, fastest first."""
        return iter(self.front)

    def __len__(self) -> int:
        """Count the networks of the front."""
        return len(self.front)

    def __repr__(self) -> str:
        """Say in one line what was asked and found."""
        said = f"Search within {budgets(self.run)}: {len(self)} networks on the front"
        best = self.result.best
        if best is None:
            return f"<{said}, none of which keeps the limits>"
        figures = f"{best.accuracy:.1f} ± {best.accuracy_std:.1f} % at {best.latency_ms:.2f} ms"
        return f"<{said}, best {best.architecture.name} with {figures}>"

    def whole(self) -> tuple[FrontEntry, ...]:
        """Return every network of the front, fastest first, also those that thinning left out.

        Raises:
            FileError: What was kept of them is damaged.
        """
        if not self.packed:
            return self.front
        inputs, settings = self.finding().inputs, self.run.settings
        problem = Problem(inputs.space, inputs.predictors, inputs.estimator, settings)
        choices = unpack_whole(WHOLE_FILE, self.packed, self.result, inputs.space)
        front = front_of(problem, choices)
        return tuple(entries_of(problem, front.choices, names_of(problem, front)))

    def grid(self) -> Grid:
        """Return the table that is shown: the winners, the best first."""
        return winners_table(self.result, self.run)

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: every network of the front, fastest first."""
        return front_columns(self.result)

    def finding(self) -> Finding:
        """Return what the report of a run is made of; a search that was read loads its inputs."""
        inputs = self.inputs or load_inputs(self.run.settings, foreign=True)
        return Finding(inputs, self.result, self.run, self.packed)

    def sources(self) -> dict[str, Any]:
        """Say which copies of space, predictors and accuracies were used."""
        inputs = self.finding().inputs
        return {
            "space": str(inputs.space_found),
            "predictors": {each.predictor.device: str(each.found) for each in inputs.devices},
            "accuracy": str(inputs.accuracy_found),
        }

    def plot(self, axes: Any = None, *, device: str | None = None) -> Any:
        """Draw accuracy against latency: the front, the winners, the family and the budget.

        Args:
            axes: matplotlib's axes to draw into; None makes new ones.
            device: On which device; the first by default.

        Returns:
            The axes.

        Raises:
            UnknownNameError: The search is not of that device.
        """
        devices = list(self.run.settings.budgets_ms)
        where = devices[0] if device is None else device
        if where not in devices:
            raise UnknownNameError.of("device of the search", str(where), devices)
        drawn = axes_or_new(axes)
        finding = self.finding()
        draw(drawn, finding, where, families_of(finding)[where])
        return drawn

    def write(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the run into a folder: front, winners, page, picture, and how to repeat it.

        Args:
            folder: Where to; it may not hold another run.
            overwrite: Replace another run in it.

        Raises:
            RepvitNasError: The folder holds another run, or no network keeps the limits.
            FileError: It cannot be written.
        """
        _ = self.best
        place = path_of("folder", folder)
        finding = self.finding()
        run_folder = RunFolder(place, self.run.settings, self.run.digest)
        with run_folder.claimed(overwrite=overwrite):
            page, picture = render(finding)
            run_folder.write(
                self.result,
                self.run,
                finding.inputs.space,
                page=page,
                picture=picture,
                whole=self.packed,
            )

    def _repr_html_(self) -> str:
        """Return the winners, or what the limits miss, for notebooks."""
        grid = self.grid()
        if self.result.best is None:
            grid = Grid.of(grid.title, ("no network keeps the limits",), [[self.why_none()]])
        return html(grid)


def search(
    budget_ms: float | Mapping[str, float] = 1.0,
    *,
    device: str = DEFAULT_DEVICE,
    space: str | Path = "repvit",
    out: str | Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = NO_PROGRESS,
    resume: Resume = False,
    overwrite: bool = False,
    storage: str | None = None,
    study_name: str = STUDY_NAME,
    wait_s: float = WAIT_S,
    timeout_s: float | None = None,
    foreign: bool = False,
    **asked: Any,
) -> Search:
    """Find the Pareto front of accuracy against latency under a budget.

    The same seed gives the same front. It takes seconds: nothing is trained and nothing is timed.

    Args:
        budget_ms: The most milliseconds a network may take on `device`, or on each device of a
            mapping such as `{"iphone12": 1.0, "iphone13": 0.9}`.
        device: The device of the budget.
        space: Name or file of the search space.
        out: Folder to write the run into; None writes nothing (`Search.write` does later).
        say: Called with lines that say what was loaded.
        progress: Called with what is being done, how far it is and how far it goes.
        resume: Go on with an unfinished run in `out` or `storage`, or add trials to it; `"auto"`: or
            start it.
        overwrite: Replace another run in `out`.
        storage: URL of an Optuna storage whose study is shared with other searches; see
            docs/machines.md.
        study_name: The study's name there.
        wait_s: Seconds to wait for a storage that does not answer.
        timeout_s: Stop after this many seconds, improvement included.
        foreign: Accept a processor's table that was measured on another machine.
        **asked: What else decides the outcome: `accuracy`, `trials`, `seed`, `sampler`, `risk`, `confidence`,
            `output`, `resolution`, `num_classes`, `max_params_m`, `max_macs_g`, `max_size_mb`, as in
            :class:`repvit_nas.searching.settings.Settings`.

    Returns:
        The search. If no network keeps the limits, asking for its `best` raises and says why.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        UnknownNameError: There is no such device, space or sampler; the message suggests the nearest.
        RepvitNasError: A value is out of its range, or the folder holds another run.
    """
    settings = _settings(budget_ms, device, str(space), asked)
    if timeout_s is not None and not timeout_s > 0:
        raise RepvitNasError(f"--timeout (timeout_s) must be above 0 seconds; got {timeout_s}")
    if resume and out is None and storage is None:
        raise RepvitNasError(
            "to resume a search, name its folder (out) or its storage; got neither"
        )
    folder = None if out is None else path_of("out", out)
    inputs = load_inputs(settings, foreign=foreign)
    _import_optuna()
    for line in (*_loaded(inputs), *_advice(settings)):
        say(line)
    named = folder is not None and folder != Path("results") / default_folder(settings)
    with tempfile.TemporaryDirectory() as scratch:
        outcome = running.search(
            settings,
            inputs,
            Path(scratch) / "run" if folder is None else folder,
            (lambda _: ("", b"")) if folder is None else render,
            command=command_line(settings, str(folder) if named else None),
            resume=resume,
            overwrite=overwrite,
            sharing=None if storage is None else Sharing(storage, study_name, wait_s, say),
            timeout_s=timeout_s,
            progress=progress,
        )
    written = None if folder is None else outcome.folder
    return Search(
        outcome.result,
        outcome.finding.run,
        written,
        outcome.seconds,
        outcome.missed,
        inputs,
        outcome.finding.whole,
    )


def usual_folder(budgets_ms: Mapping[str, float], **asked: Any) -> Path:
    """Return where the command line leaves a run: a folder under `results/` named after what is asked.

    Args:
        budgets_ms: The budget of each device.
        **asked: What `search` takes; what decides nothing of the outcome does not count.
    """
    decides = {name: value for name, value in asked.items() if name in Settings.__struct_fields__}
    space = str(decides.pop("space", "repvit"))
    settings = _settings(budgets_ms, DEFAULT_DEVICE, space, decides)
    return Path("results") / default_folder(settings)


def read_search(folder: Path) -> Search:
    """Read the run in a folder.

    Raises:
        FileError: It holds no finished run, or its files are not valid.
    """
    run, result, packed = read_finished(folder)
    return Search(result, run, folder, packed=packed)


def _settings(
    budget_ms: float | Mapping[str, float], device: str, space: str, asked: dict[str, Any]
) -> Settings:
    if isinstance(budget_ms, Mapping):
        budgets_ms = dict(budget_ms)
    elif isinstance(budget_ms, bool) or not isinstance(budget_ms, float | int):
        raise WrongTypeError.of("budget_ms", "a number of ms, or one for each device", budget_ms)
    elif isinstance(device, str):
        budgets_ms = {device: budget_ms}
    else:
        raise WrongTypeError.of("device", "the name of a device, such as 'iphone12'", device)
    unknown = sorted(asked.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise UnknownNameError.of("argument", unknown[0], list(Settings.__struct_fields__))
    sampler = asked.get("sampler", SAMPLERS[0])
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise UnknownNameError.of("sampler", sampler, list(SAMPLERS))
    accuracy = estimator_of(asked.get("accuracy", FAMILY)).name
    output = asked.get("output") or LOGITS
    if output not in OUTPUTS:
        raise UnknownNameError.of("output", str(output), list(OUTPUTS))
    resolution, classes = input_of(
        accuracy, asked.get("resolution"), asked.get("num_classes"), output
    )
    asked = asked | {"output": output, "resolution": resolution, "num_classes": classes}
    raw = {"budgets_ms": budgets_ms, "space": space, **asked}
    try:
        return files.convert("search", raw, Settings, schema=None)
    except FileError as error:
        raise WrongTypeError(str(error)) from error


def _import_optuna() -> None:
    """Import what Optuna imports without its complaint, in a notebook, that widgets are missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna  # noqa: F401


def _loaded(inputs: Inputs) -> Iterator[str]:
    """Say what was loaded, and which copy of it."""
    space = inputs.space
    yield f"space: {space.name}, {space.size:.3g} networks, from {inputs.space_found}"
    for device in inputs.devices:
        yield device.said()
    yield f"accuracy: {inputs.estimator.name}, from {inputs.accuracy_found}"


def _advice(settings: Settings) -> Iterator[str]:
    """Say that a sampler will take long, if it will."""
    slow = _SLOW.get(settings.sampler, settings.trials)
    if settings.trials > slow:
        yield (
            f"sampler {settings.sampler} thinks longer at every trial: {settings.trials:,} trials "
            f"may take {'days' if settings.sampler == 'gp' else 'hours'}; local improvement needs "
            f"few, so give --trials {slow}, or a --timeout"
        )
