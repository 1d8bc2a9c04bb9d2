"""What a search leaves: the records of the files in `results/<run>/`."""

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.accuracy.estimator import AccuracySource
from repvit_nas.architecture import PLAIN, Architecture, Stage, read_architecture
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.predictors.lookup import SOURCES, Source
from repvit_nas.quantities import (
    Count,
    Deviation,
    Duration,
    Milliseconds,
    Percent,
    Share,
    check_interval,
)
from repvit_nas.search_space.space import Space
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.searching.settings import Settings

RUN_FILE: Final = "run.json"
FRONT_FILE: Final = "front.json"
TABLE_FILE: Final = "front.csv"
WINNERS_FOLDER: Final = "winners"
SPACE_FILE: Final = "space.json"
# Choices of every network of the front, where that in `front.json` is thinned.
WHOLE_FILE: Final = "front.npz"
BEST: Final = "best"
# A run named without a folder, or under `results`, may be one that came with the package.
_SHIPPED_UNDER: Final = (Path(), Path("results"))


class DeviceLatency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network's latency on one device with its 90 % interval."""

    latency_ms: Milliseconds
    low_ms: Duration
    high_ms: Milliseconds
    source: Source

    def __post_init__(self) -> None:
        """Check that the interval is one."""
        check_interval(self.low_ms, self.latency_ms, self.high_ms, "latency_ms")


class FrontEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network of a front.

    Attributes:
        architecture: The content of its architecture file.
        latency_ms: On the first device.
        low_ms: Lower end of the 90 % interval.
        high_ms: Upper end of the 90 % interval.
        source: Where the latency comes from.
        accuracy: Estimated accuracy in percent.
        accuracy_std: Its standard deviation.
        accuracy_source: Where what is known of its accuracy comes from.
        observed: Its accuracy as it was published or trained, mean of its trainings; None where it is
            only estimated.
        params: Parameters of the fused network.
        macs: Multiply-accumulates.
        size_bytes: Bytes of its weights in fp16.
        devices: The latency on every device of the search.
        feasible: Whether it meets the budget; false only where no network does.
    """

    architecture: Architecture
    latency_ms: Milliseconds
    low_ms: Duration
    high_ms: Milliseconds
    source: Source
    accuracy: Percent
    accuracy_std: Deviation
    params: Count
    macs: Count
    size_bytes: Count
    devices: dict[str, DeviceLatency]
    feasible: bool = True
    accuracy_source: AccuracySource = "estimated"
    observed: Percent | None = None

    def __post_init__(self) -> None:
        """Check that the interval is one."""
        check_interval(self.low_ms, self.latency_ms, self.high_ms, "latency_ms")


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `front.json` (schema 1).

    Attributes:
        front: The Pareto front, fastest first.
        best: The most accurate network under the budget, by its lower confidence bound.
        winners: Names of the networks that have an architecture file, best first.
        accuracy_meaning: What the accuracy is of.
        trials: Networks that Optuna proposed.
        evaluations: Different networks among them.
        optuna_share: Share of the final front's hypervolume that Optuna's trials alone reach.
        exact_share: Share of the exact hypervolume, where the space can be enumerated.
        exact_optuna_share: The same of Optuna's trials alone.
        disputed: Winners that a share of the ensemble's members, given here, would have lose to a
            clearly more accurate network that by their account is no slower.
        whole: How many networks the whole front has, where this one is a part of it that is spread
            over it and holds all winners; 0 where it is whole. `front.npz` has them all.
        whole_digest: Of that file.
        shown_share: Which share of the whole front's hypervolume this part has.
        late_gain: Which share of its hypervolume the second half of the improvement found, where the
            time was over before its end: what is left is likely less.
    """

    schema: Literal[1] = 1
    front: tuple[FrontEntry, ...]
    best: FrontEntry | None
    winners: tuple[str, ...]
    accuracy_meaning: str
    trials: Count
    evaluations: Count
    optuna_share: Share | None = None
    exact_share: Share | None = None
    exact_optuna_share: Share | None = None
    disputed: dict[str, Deviation] = {}
    whole: Count = 0
    whole_digest: str = ""
    shown_share: Share | None = None
    late_gain: Share | None = None

    @property
    def winning(self) -> list[FrontEntry]:
        """The entries of the front that have an architecture file, best first."""
        by_name = {entry.architecture.name: entry for entry in self.front}
        return [by_name[name] for name in self.winners]

    @property
    def sources(self) -> str:
        """Where the latencies come from, in words."""
        found = {latency.source for entry in self.front for latency in entry.devices.values()}
        return " and ".join(source for source in SOURCES if source in found)


def front_columns(result: Result) -> dict[str, list[Any]]:
    """Return a front by columns, a row for each network: of `front.csv`, and of a frame."""
    front = result.front
    architectures = [entry.architecture for entry in front]
    columns: dict[str, list[Any]] = {
        "network": [architecture.name for architecture in architectures],
        "winner": [architecture.name in result.winners for architecture in architectures],
        "accuracy": [entry.accuracy for entry in front],
        "accuracy_std": [entry.accuracy_std for entry in front],
        "params": [entry.params for entry in front],
        "macs": [entry.macs for entry in front],
        "size_bytes": [entry.size_bytes for entry in front],
    }
    for device in front[0].devices if front else ():
        for field in DeviceLatency.__struct_fields__:
            on = [getattr(entry.devices[device], field) for entry in front]
            columns[f"{device}_{field}"] = on
    columns["resolution"] = [architecture.resolution for architecture in architectures]
    plain = any(PLAIN in {each.downsample for each in one.stages} for one in architectures)
    for field in Stage.__struct_fields__:
        if field == "downsample" and not plain:
            continue
        columns[field] = [
            "-".join(f"{getattr(stage, field)}" for stage in architecture.stages)
            for architecture in architectures
        ]
    return columns


class RunFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `run.json` (schema 1): how to repeat a run.

    Attributes:
        command: The command line that repeats it.
        settings: What was asked.
        digest: Of everything that decides what is proposed: settings but for the number of trials,
            space, predictors and the published accuracies.
        inputs: Those digests one by one.
        versions: Of this package and of Optuna.
        complete: Whether all trials were run and improved to the end.
        unbound: Devices whose budget no network of the front comes near, and the most milliseconds
            that one takes.
    """

    schema: Literal[1] = 1
    command: str
    settings: Settings
    digest: str
    inputs: dict[str, str]
    versions: dict[str, str]
    complete: bool
    unbound: dict[str, Milliseconds] = {}


def read_run(folder: Path) -> RunFile:
    """Read how a run was made."""
    return files.read_json(files.inside(folder, folder / RUN_FILE), RunFile)


class Finished(NamedTuple):
    """The files of a finished run.

    Attributes:
        run: How to repeat it.
        result: Its front.
        whole: The content of `front.npz`; empty where the front in the result is whole.
    """

    run: RunFile
    result: Result
    whole: bytes


def read_finished(folder: Path) -> Finished:
    """Read the run in a folder: all of one run, though another may be taking its place.

    Raises:
        FileError: It holds no finished run, or its files are not valid.
    """
    return files.settled(folder, lambda: _read_finished(folder))


def _read_finished(folder: Path) -> Finished:
    if not (folder / RUN_FILE).is_file():
        raise FileError(f"{folder}: holds no finished run; repvit-nas search makes one")
    run = read_run(folder)
    result = files.read_json(files.inside(folder, folder / FRONT_FILE), Result)
    packed = files.inside(folder, folder / WHOLE_FILE)
    whole = files.read_bytes(packed) if result.whole else b""
    if read_run(folder) != run:  # it goes first and comes last where a run is replaced
        raise FileError(f"{folder}: is being replaced by another run; read it again")
    return Finished(run, result, whole)


def winner_path(folder: Path, name: str) -> Path:
    """Return the architecture file of a winner of the run in `folder`, by name or number.

    Raises:
        UnknownNameError: The run has no such winner.
        RepvitNasError: The folder holds no finished run.
    """
    known = _winner_names(folder)
    if name.isdecimal():
        ranked = files.read_json(files.inside(folder, folder / FRONT_FILE), Result).winners
        if int(name) < len(ranked):
            name = ranked[int(name)]
    if name not in known:
        raise UnknownNameError.of(f"winner of {folder}", name, known)
    return files.inside(folder, folder / WINNERS_FOLDER / f"{name}.json")


def _winner_names(folder: Path) -> list[str]:
    winners = folder / WINNERS_FOLDER
    if not winners.is_dir():
        raise RepvitNasError(f"{folder}: holds no finished run; repvit-nas search makes one")
    return sorted(file.stem for file in winners.glob("*.json"))


def winners_of(run: str) -> list[str]:
    """Return the names of the networks of a run that have a file.

    Raises:
        RepvitNasError: There is no such run.
    """
    return _winner_names(find_run(run))


def read_winner(text: str) -> Architecture:
    """Read `results/<run>:<winner>`; the run may also be named without its folder.

    Raises:
        RepvitNasError: There is no such run or winner.
    """
    folder, name = _run_and_winner(text)
    return read_architecture(winner_path(folder, name))


def read_winners_space(text: str) -> Space | None:
    """Read the space that `results/<run>:<winner>` was found in; None if the run did not keep it.

    Raises:
        RepvitNasError: There is no such run, or its space is not valid.
    """
    folder, _ = _run_and_winner(text)
    path = folder / SPACE_FILE
    if not path.is_file():
        return None
    return Space(files.read_json(files.inside(folder, path), SpaceFile))


def _run_and_winner(text: str) -> tuple[Path, str]:
    run, _, name = text.rpartition(":")
    return find_run(run), name or BEST


def find_run(run: str) -> Path:
    """Return the folder of a run: the one here, or the one that came with the package.

    Raises:
        UnknownNameError: There is neither; the message lists the runs there are.
    """
    folder = Path(run)
    if not folder.is_dir() and folder.parent in _SHIPPED_UNDER:
        return data.find("results", folder.name, "run").path
    return folder
