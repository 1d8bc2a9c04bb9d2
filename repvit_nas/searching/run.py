"""One search from settings to a run folder."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.estimator import meaning_at
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import Resume
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.agreement import disputed
from repvit_nas.searching.entries import entries_of, names_of
from repvit_nas.searching.exact import exact_front, shares
from repvit_nas.searching.folder import RunFolder
from repvit_nas.searching.front import Front, front_of, hypervolume, reference_point, thinned_rows
from repvit_nas.searching.improve import Improved, improve
from repvit_nas.searching.inputs import Inputs, study_digest
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.records import BEST, Result, RunFile
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.shared import Sharing, say_winners
from repvit_nas.searching.study import Studied, run_study
from repvit_nas.searching.whole import whole_bytes
from repvit_nas.searching.winners import broken_limits, nearest, unbound, winners
from repvit_nas.shapes import Integers
from repvit_nas.version import __version__
from repvit_nas.words import Progress

# Networks of a front that a person is shown, as many as a page takes; the others are kept beside them.
SHOWN: Final = 2000
NO_PROGRESS: Final[Progress] = lambda *_: None  # noqa: E731


class Finding(NamedTuple):
    """What a search loaded and what it found: all that its report is made of.

    Attributes:
        inputs: What was loaded.
        result: The front and what is known of it.
        run: How to repeat it.
        whole: The whole front, packed, where that of the result is thinned.
    """

    inputs: Inputs
    result: Result
    run: RunFile
    whole: bytes = b""


# Page (Markdown) and picture (PNG) of a run; passed in, as showing results is another room's work.
Render = Callable[[Finding], tuple[str, bytes]]


class Outcome(NamedTuple):
    """A finished search.

    Attributes:
        finding: What it loaded and found.
        folder: Where it was written; None if no network meets the budget.
        seconds: How long the search took, inputs not counted.
        missed: If so, what the nearest network breaks, in words.
    """

    finding: Finding
    folder: Path | None
    seconds: float
    missed: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """The front and what is known of it."""
        return self.finding.result


def search(
    settings: Settings,
    inputs: Inputs,
    folder: Path,
    render: Render,
    *,
    command: str = "",
    resume: Resume = False,
    overwrite: bool = False,
    sharing: Sharing | None = None,
    timeout_s: float | None = None,
    progress: Progress = NO_PROGRESS,
) -> Outcome:
    """Search, improve and write a run.

    Args:
        settings: What to search.
        inputs: What :func:`repvit_nas.searching.inputs.load_inputs` loaded for them.
        folder: Where the run goes.
        render: Makes the page and the picture of the run.
        command: The command line to note in the run.
        resume: Go on with the run in `folder`, or with the study that is shared; `auto`, or start.
        overwrite: Replace another run in `folder`.
        sharing: Which study in a storage is shared with other searches, which may also share
            `folder`; None keeps the study in memory and logs it in `folder`.
        timeout_s: Stop after this many seconds: half for proposing at most, the rest for improving.
        progress: Called with what is being done, how far it is and how far it goes.

    Raises:
        RepvitNasError: The folder holds another run, is written to by another search, or cannot be
            written; or the study cannot be gone on with.
    """
    began = time.monotonic()
    problem = Problem(inputs.space, inputs.predictors, inputs.estimator, settings)
    digest = study_digest(settings, inputs)
    run_folder = RunFolder(folder, settings, digest)
    references = reachable_references(problem)

    def finding(
        result: Result,
        *,
        complete: bool = True,
        far: dict[str, float] | None = None,
        whole: bytes = b"",
    ) -> Finding:
        run = RunFile(
            command=command,
            settings=settings,
            digest=digest,
            inputs=inputs.digests(),
            versions=versions(),
            complete=complete,
            unbound=far or {},
        )
        return Finding(inputs, result, run, whole)

    def left_s() -> float:
        return math.inf if timeout_s is None else timeout_s - (time.monotonic() - began)

    with run_folder.claimed(resume=resume, overwrite=overwrite, shared=sharing is not None):
        studied = run_study(
            problem,
            start=references,
            checkpoint=run_folder.checkpoint,
            resume=resume,
            sharing=sharing,
            digest=digest,
            timeout_s=None if timeout_s is None else timeout_s / 2,
            progress=lambda done: progress("searching", done, settings.trials),
        )
        proposed = front_of(problem, studied.choices)
        improved = improve(
            problem,
            proposed,
            front_of(problem, references),
            timeout_s=left_s(),
            progress=lambda done, known: progress("improving", done, known),
        )
        complete = not studied.interrupted and left_s() > 0
        if not len(improved.front.choices):
            closest = _closest(problem, studied, references)
            improved = improve(problem, front_of(problem, closest))
            if not len(improved.front.choices):
                run_folder.abandon(study=True)
                missed = broken_limits(problem, closest)
                found = finding(_impossible(problem, studied, closest))
                return Outcome(found, None, time.monotonic() - began, missed)
        result, whole = result_of(
            problem,
            proposed,
            improved,
            trials=len(studied.choices),
            evaluations=studied.evaluations,
            progress=progress,
        )
        far = unbound(problem, improved.front)
        found = finding(result, complete=complete, far=far, whole=whole)
        page, picture = render(found)
        run_folder.write(
            found.result, found.run, inputs.space, page=page, picture=picture, whole=whole
        )
        if sharing is not None:
            say_winners(
                sharing,
                {
                    name: f'repvit_nas.load("{folder}:{name}")'
                    for name in (BEST, *found.result.winners)
                },
            )
    return Outcome(found, folder, time.monotonic() - began)


def reachable_references(problem: Problem) -> Choices:
    """Return the reference networks that the space can make, `(n, parameters)`."""
    rows = []
    for network in family().values():
        try:
            rows.append(problem.space.encode(network.architecture))
        except RepvitNasError:
            continue  # not every space holds every reference
    width = len(problem.space.parameters)
    return np.unique(np.vstack([*rows, np.zeros((0, width), dtype=np.intp)]), axis=0)


def versions() -> dict[str, str]:
    """Return the versions that a run is noted to be made with."""
    import optuna

    return {"repvit-nas": __version__, "optuna": optuna.__version__}


def result_of(
    problem: Problem,
    proposed: Front,
    improved: Improved,
    *,
    trials: int,
    evaluations: int,
    progress: Progress = NO_PROGRESS,
) -> tuple[Result, bytes]:
    """Return what was found: the front, its winners, and how much of it was reached by what.

    A front of more than `SHOWN` networks is thinned; then the whole comes beside it, packed.

    Args:
        problem: What was searched.
        proposed: The front of what Optuna proposed.
        improved: The front in the end.
        trials: How many networks Optuna proposed.
        evaluations: How many different ones.
        progress: Told how far a space that is small enough is enumerated.
    """
    everything = improved.front
    reference = reference_point(everything)
    volume = hypervolume(everything.objectives, reference)
    optuna_share = hypervolume(proposed.objectives, reference) / volume if volume else None
    best = winners(problem, everything)
    front, chosen = _shown(everything, best)
    packed, shown_share = b"", None
    if len(front.choices) < len(everything.choices):
        packed = whole_bytes(everything.choices)
        shown_share = hypervolume(front.objectives, reference) / volume if volume else None
    names = names_of(problem, front)
    entries = entries_of(problem, front.choices, names)
    exact_share = exact_optuna_share = None
    if problem.space.enumerable:
        size = problem.space.size
        exact = exact_front(problem, lambda done: progress("enumerating", done, size))
        exact_optuna_share, exact_share = shares(exact, proposed, everything)
    result = Result(
        front=tuple(entries),
        best=entries[chosen[0]],
        winners=tuple(names[row] for row in chosen),
        accuracy_meaning=meaning_at(problem.estimator, problem.resolution, problem.output),
        trials=trials,
        evaluations=evaluations,
        optuna_share=optuna_share,
        exact_share=exact_share,
        exact_optuna_share=exact_optuna_share,
        disputed={
            names[row]: round(share, 3) for row, share in disputed(problem, front, chosen).items()
        },
        whole=len(everything.choices) if packed else 0,
        whole_digest=files.digest(packed) if packed else "",
        shown_share=None if shown_share is None else round(shown_share, 4),
        late_gain=None if improved.late_gain is None else round(improved.late_gain, 6),
    )
    return result, packed


def _shown(front: Front, winning: Integers) -> tuple[Front, Integers]:
    """Return the part of a front that is shown, with all its winners, and the rows of those."""
    if len(front.choices) <= SHOWN:
        return front, winning
    rows = np.union1d(thinned_rows(front, SHOWN), winning)
    return Front(front.choices[rows], front.objectives[rows]), np.searchsorted(rows, winning)


def _closest(problem: Problem, studied: Studied, references: Choices) -> Choices:
    """Return the network that comes closest to all limits, which nothing proposed keeps."""
    smallest = np.zeros((1, len(problem.space.parameters)), dtype=np.intp)
    return nearest(problem, np.vstack([studied.choices, references, smallest]))


def _impossible(problem: Problem, studied: Studied, closest: Choices) -> Result:
    """Return the answer to limits that no network keeps: the one that misses them by least."""
    entries = entries_of(problem, closest, [f"nearest-{problem.devices[0]}"], feasible=False)
    return Result(
        front=tuple(entries),
        best=None,
        winners=(),
        accuracy_meaning=meaning_at(problem.estimator, problem.resolution, problem.output),
        trials=len(studied.choices),
        evaluations=studied.evaluations,
    )
