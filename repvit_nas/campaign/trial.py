"""What a trial of a campaign's study says: written by a worker, and read without believing it."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.accuracy.observations import AccuracyObservation
from repvit_nas.accuracy.responses import losses_in
from repvit_nas.architecture import shape_text
from repvit_nas.campaign.records import AnyFile, Planned, RunsFile, TrainingTask
from repvit_nas.campaign.training import Result, circumstances_of, losses_name
from repvit_nas.campaign.tries import Beat, Task, Try, TryState, Words
from repvit_nas.errors import FileError
from repvit_nas.quantities import Duration

# User attributes of a trial, which dashboards show.
BY, BEAT, SECONDS, REASON = "worker", "progress", "seconds", "failure"
GIVEN_BACK: Final = "given back"
# And what no person reads, in the attributes that dashboards do not show, beside Optuna's own.
_HIDDEN: Final = "repvit-nas "
TASK, PLAN = f"{_HIDDEN}task", f"{_HIDDEN}plan"
OBSERVATION, LOSSES = f"{_HIDDEN}observation", f"{_HIDDEN}losses"
# MySQL's texts end at 64 KiB.
_PIECE: Final = 45_000
# What a file of losses has beside four bytes an image.
_HEADER: Final = 1024


def facts_of_task(task: Task, file: AnyFile) -> dict[str, Any]:
    """Return the attributes of a trial that waits for a worker: its record, and what people see of it."""
    facts: dict[str, Any] = {TASK: msgspec.to_builtins(task)}
    if not isinstance(task, TrainingTask):
        return facts | {"task": f"{task.name}: chooses the trainings that come next"}
    return facts | {
        "task": task.name,
        "network": shape_text(task.architecture),
        "role": task.role,
        "seed": task.seed,
        "recipe": file.asked.recipe_name,
        "epochs": file.asked.recipe.epochs,
    }


def facts_of_plan(planned: Planned) -> dict[str, Any]:
    """Return the attributes that say what comes next."""
    names = ", ".join(task.name for task in planned.tasks)
    return {PLAN: msgspec.to_builtins(planned), "next": names or planned.reason}


def is_hidden(key: str) -> bool:
    """Tell whether an attribute is one that dashboards are not to show."""
    return key.startswith(_HIDDEN)


def facts_of_result(result: Result) -> dict[str, Any]:
    """Return the attributes that say what a training has said."""
    text = base64.b64encode(result.losses).decode()
    pieces = range(0, len(text), _PIECE)
    said = result.observation
    return {
        OBSERVATION: msgspec.to_builtins(said),
        SECONDS: result.seconds,
        "top-1, standard deviation [%]": said.top1_sd,
        "cross-entropy": said.loss,
        **{f"{LOSSES} {place // _PIECE}": text[place : place + _PIECE] for place in pieces},
    }


def read_try(
    where: str,
    *,
    number: int,
    trial_id: int,
    state: TryState,
    attrs: Mapping[str, Any],
    file: AnyFile,
) -> Try:
    """Return a try with what its attributes say: text of a database, which anybody may have written.

    Args:
        where: What to call the trial in a message.
        number: Of the trial.
        trial_id: What the storage calls it.
        state: Of the trial; a failed one is lost where nobody says why it failed.
        attrs: The attributes, shown or not.
        file: What the campaign was asked.

    Raises:
        FileError: They are no try at a task of this campaign.
    """

    def read(key: str, kind: Any) -> Any:
        return files.convert(f"{where}: {key}", attrs.get(key), kind, schema=None)

    task: Task = read(TASK, Task)
    if isinstance(file, RunsFile) and task not in file.tasks:
        raise FileError(f"{where}: {TASK}: {task.name!r} is none of the campaign's")
    found = Try(
        number,
        trial_id,
        task,
        state,
        by=read(BY, Words) if BY in attrs else "",
        beat=read(BEAT, Beat) if BEAT in attrs else None,
        reason=read(REASON, Words) if REASON in attrs else "",
        given_back=GIVEN_BACK in attrs,
    )
    if state == "failed" and not found.reason:
        return found._replace(state="lost")
    if state != "done":
        return found
    if not isinstance(task, TrainingTask):
        return found._replace(planned=read(PLAN, Planned))
    observation = read(OBSERVATION, AccuracyObservation)
    _check(where, task, observation, file)
    losses = _losses(where, attrs, file.val_images)
    return found._replace(result=Result(observation, losses, read(SECONDS, Duration), found.by))


def _check(where: str, task: TrainingTask, observation: AccuracyObservation, file: AnyFile) -> None:
    """Refuse an observation that is none of its task."""
    said = (
        observation.architecture,
        observation.seed,
        observation.source,
        observation.losses,
        observation.held_out,
    )
    held_out = task.role == "held out"
    if said != (task.architecture, task.seed, task.name, losses_name(task), held_out):
        raise FileError(f"{where}: {OBSERVATION}: is of another training than {task.name!r}")
    apart = circumstances_of(file).differences(observation.circumstances)
    if apart:
        raise FileError(f"{where}: {OBSERVATION}: is of other circumstances: {apart[0]}")


def _losses(where: str, attrs: Mapping[str, Any], images: int) -> bytes:
    """Return the file of losses that a trial holds in pieces."""
    most = 4 * (4 * images + _HEADER) // 3 + 4
    pieces = [attrs.get(f"{LOSSES} {place}") for place in range(most // _PIECE + 1)]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    if len(text) > most:
        raise FileError(f"{where}: {LOSSES}: are more than of {images:,} images")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FileError(f"{where}: {LOSSES}: {error}") from error
    if len(losses_in(content, f"{where}: {LOSSES}")) != images:
        raise FileError(f"{where}: {LOSSES}: are not of {images:,} images")
    return content
