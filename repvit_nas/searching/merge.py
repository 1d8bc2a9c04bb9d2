"""One front of several searches: with other seeds, other samplers, or from other machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.folder import RunFolder
from repvit_nas.searching.front import Front, front_of, merged
from repvit_nas.searching.improve import improve
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.records import WHOLE_FILE, Result, RunFile, read_finished
from repvit_nas.searching.run import NO_PROGRESS, Finding, Render, result_of, versions
from repvit_nas.searching.settings import MAX_TRIALS, Settings, default_folder
from repvit_nas.searching.whole import unpack_whole
from repvit_nas.searching.winners import unbound
from repvit_nas.words import Progress

# What may differ between searches whose fronts are of one thing.
_FREE = {"seed": 0, "sampler": "nsga2", "trials": 1}


class Part(NamedTuple):
    """One of the runs that were merged.

    Attributes:
        folder: The run.
        networks: How many were on its front.
        kept: How many of them are on the merged one.
    """

    folder: Path
    networks: int
    kept: int


class Merged(NamedTuple):
    """Several runs in one.

    Attributes:
        finding: What is on the front, and what it was made of.
        folder: Where it was written.
        parts: The runs.
    """

    finding: Finding
    folder: Path
    parts: tuple[Part, ...]


class _Source(NamedTuple):
    folder: Path
    file: RunFile
    result: Result
    whole: bytes


def merge(
    runs: Sequence[Path],
    folder: Path | None,
    render: Render,
    *,
    command: str = "",
    overwrite: bool = False,
    foreign: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Merged:
    """Merge the fronts of runs, and improve the union until nothing near it would join.

    Args:
        runs: Folders of two runs or more, of one search but for seed, sampler and trials.
        folder: Where the merged run goes; None for `results/<as one run>-merged`.
        render: Makes the page and the picture of the run.
        command: The command line to note in the run.
        overwrite: Replace another run in `folder`.
        foreign: Accept a processor's table that was measured on another machine.
        progress: Called with what is being done, how far it is and how far it goes.

    Raises:
        RepvitNasError: The runs are not of one search, or of other data than is known now.
        FileError: A folder holds no run, or cannot be written.
    """
    loaded = [_Source(each, *read_finished(each)) for each in runs]
    first = loaded[0]
    for other in loaded[1:]:
        _refuse_others(first, other)
    settings = msgspec.structs.replace(
        first.file.settings,
        trials=min(MAX_TRIALS, sum(each.file.settings.trials for each in loaded)),
    )
    inputs = load_inputs(settings, foreign=foreign)
    for name, digest in inputs.digests().items():
        if first.file.inputs.get(name) != digest:
            raise RepvitNasError(
                f"{first.folder}: was searched with another {name} than is known now; search again"
            )
    problem = Problem(inputs.space, inputs.predictors, inputs.estimator, settings)
    fronts = [_front(problem, each) for each in loaded]
    digest = files.digest(msgspec.json.encode(sorted(each.file.digest for each in loaded)))
    where = folder or Path("results") / f"{default_folder(_one(settings))}-merged"
    target = RunFolder(where, settings, digest)
    with target.claimed(overwrite=overwrite):
        union = merged(*fronts)
        improved = improve(
            problem, union, progress=lambda done, known: progress("improving", done, known)
        )
        result, whole = result_of(
            problem,
            union,
            improved,
            trials=sum(each.result.trials for each in loaded),
            evaluations=sum(each.result.evaluations for each in loaded),
            progress=progress,
        )
        # What Optuna proposed was not kept.
        result = msgspec.structs.replace(result, optuna_share=None, exact_optuna_share=None)
        run = RunFile(
            command=command,
            settings=settings,
            digest=digest,
            inputs=inputs.digests(),
            versions=versions(),
            complete=all(each.file.complete for each in loaded),
            unbound=unbound(problem, improved.front),
        )
        found = Finding(inputs, result, run, whole)
        page, picture = render(found)
        target.write(result, run, inputs.space, page=page, picture=picture, whole=whole)
    parts = [
        Part(each.folder, len(front.choices), _common(front, improved.front))
        for each, front in zip(loaded, fronts, strict=True)
    ]
    return Merged(found, where, tuple(parts))


def _one(settings: Settings) -> Settings:
    """Return settings without what may differ between searches that are merged."""
    return msgspec.structs.replace(settings, **_FREE)


def _refuse_others(first: _Source, other: _Source) -> None:
    one, two = _one(first.file.settings), _one(other.file.settings)
    apart = [
        f"{name} {getattr(one, name)} and {getattr(two, name)}"
        for name in one.__struct_fields__
        if getattr(one, name) != getattr(two, name)
    ]
    known = first.file.inputs | other.file.inputs
    apart += [
        f"another {name}"
        for name in sorted(known)
        if first.file.inputs.get(name) != other.file.inputs.get(name)
    ]
    if apart:
        raise RepvitNasError(
            f"{first.folder} and {other.folder} are not of one search: {', '.join(apart)}; only "
            "seed, sampler and trials may differ"
        )


def _front(problem: Problem, run: _Source) -> Front:
    if run.result.whole:
        path = run.folder / WHOLE_FILE
        return front_of(problem, unpack_whole(path, run.whole, run.result, problem.space))
    rows = [problem.space.encode(entry.architecture) for entry in run.result.front]
    return front_of(problem, np.concatenate(rows))


def _common(front: Front, whole: Front) -> int:
    known = {row.tobytes() for row in whole.choices}
    return sum(row.tobytes() in known for row in front.choices)
