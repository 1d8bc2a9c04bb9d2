"""A training by several processes of this machine, which torchrun starts and this one watches.

They are asked by the record in the run's folder and say in lines on standard output how far they are. Their
standard input is open as long as this process is there: they end with it, however it ends.
"""

import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

import msgspec
import torch
from torch.utils.data import IterableDataset

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import Resume, held
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.data import Opened
from repvit_nas.training.log import Picture
from repvit_nas.training.place import Place, device_kind, world_size
from repvit_nas.training.records import (
    TRAINING_FILE,
    Asked,
    TrainFile,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import check_folder, new_record, open_asked, train
from repvit_nas.words import Progress, Say, number_of

# How long processes that are told to end may take.
_END_S: Final = 20.0
_QUOTED: Final = 200


class _Line(NamedTuple):
    """What a process says: how far it is, something the user should know, or why it ends."""

    kind: Literal["progress", "say", "error", "file error"]
    text: str
    done: int = 0
    of: int = 0


def refuse_processes(processes: int, device: str) -> None:
    """Refuse to start several processes where that cannot be done.

    Args:
        processes: How many.
        device: What each trains on, as `Place.device` says.

    Raises:
        RepvitNasError: This is one of several processes already, or there are not so many devices.
    """
    if processes == 1:
        return
    if world_size() > 1:
        raise RepvitNasError(f"--nproc {processes} starts its processes itself: leave torchrun out")
    kind = device_kind(device)
    if kind == "cuda" and torch.cuda.device_count() < processes:
        there = number_of(torch.cuda.device_count(), "GPU")
        raise RepvitNasError(
            f"--nproc {processes}: each process needs a GPU, and here is {there}; give no more than that"
        )
    if kind not in {"cpu", "cuda"}:
        raise RepvitNasError(
            f"--nproc {processes}: several processes train on cuda or cpu, not on {device}; leave it out"
        )


def shared_out(asked: Asked, processes: int) -> Asked:
    """Return what several processes are asked together that learn what one is asked.

    Each takes its share of the batches that an update adds up: as many images as before are in a batch, whose
    statistics its batch norms see, and in an update.

    Args:
        asked: What one process is asked.
        processes: How many there are to be.

    Raises:
        RepvitNasError: They would learn something else.
    """
    recipe = asked.recipe
    if processes == 1:
        return asked
    if recipe.accumulate % processes:
        raise RepvitNasError(
            f"--nproc {processes}: an update adds up accumulate = {recipe.accumulate} of batch = {recipe.batch} "
            f"images, which {processes} processes cannot share alike; give a number that divides it, or begin "
            f"with a multiple, such as --set accumulate={processes}"
        )
    if recipe.repeats > 1:
        raise RepvitNasError(
            f"--nproc {processes}: the recipe repeats each image {recipe.repeats} times, and several processes "
            "would learn from other images than one; leave it out"
        )
    share = msgspec.structs.replace(recipe, accumulate=recipe.accumulate // processes)
    return msgspec.structs.replace(asked, recipe=share, processes=processes)


def refuse_streams(opened: Opened, processes: int) -> None:
    """Refuse several processes for images that are only read in their own order.

    Raises:
        RepvitNasError: They are, and each process would learn from others than its share of one's.
    """
    if processes > 1 and isinstance(opened.train, IterableDataset):
        raise RepvitNasError(
            f"--nproc {processes}: these images are only read in their own order, of which processes cannot "
            "take turns as one would; leave it out, or give them as a folder"
        )


def going_on(asked: Asked, folder: Path) -> Asked:
    """Return what is asked, by as many processes as a run of the same in `folder` began with."""
    if not is_training_run(folder):
        return asked
    before = read_training(folder)
    trained = before.ended is not None or Checkpoints(folder).last() is not None
    return before.asked if trained and before.asked.by_one == asked.by_one else asked


def train_by(
    asked: Asked,
    folder: Path,
    place: Place,
    *,
    opened: Opened | None = None,
    command: str = "",
    space: SpaceFile | None = None,
    resume: Resume = False,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
    picture: Picture | None = None,
) -> TrainFile:
    """Train a network by as many processes as are asked for, which are started here if they are several.

    Args:
        asked: As for :func:`repvit_nas.training.run.train`, and so are the others.
        folder: Where the run is kept.
        place: On what it is computed; of several GPUs each process takes one.
        opened: The images, where they are open already; several processes open them again.
        command: The command line that repeats the run.
        space: The space that the network was searched in, to be kept.
        resume: Go on with the run in the folder.
        say: Told what the user should know.
        progress: Told how far it is; if it raises, the processes are ended.
        picture: Draws the log; a function of a module.

    Raises:
        RepvitNasError: As of `train`, or a process was killed.
        FileError: Something cannot be read or written.
    """
    if asked.processes == 1:
        return train(
            asked,
            folder,
            place,
            opened=opened,
            command=command,
            space=space,
            resume=resume,
            say=say,
            progress=progress,
            picture=picture,
        )
    with held(folder):
        before = check_folder(folder, asked, resume=resume)
        if before is None:  # from which the processes read what they are asked
            images = opened or open_asked(asked)
            refuse_streams(images, asked.processes)
            record = new_record(asked, images, command=command, space=space)
            files.write_json(folder / TRAINING_FILE, record)
        elif before.ended is not None:
            return before
    drawn = "" if picture is None else f"{picture.__module__}:{picture.__qualname__}"
    words = [str(folder), msgspec.json.encode(place).decode(), drawn]
    _watched(folder, asked.processes, words, say, progress)
    return read_training(folder)


def _watched(folder: Path, processes: int, words: list[str], say: Say, progress: Progress) -> None:
    """Run the processes to their end, or end them with this one."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    run += ["--nproc-per-node", str(processes), "-m", __name__, *words]
    threads = max(1, torch.get_num_threads() // processes)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  # this very program
            run,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C is this process's to pass on
        ) as started,
    ):
        try:
            why = _heard(started.stdout or (), say, progress)
            code = started.wait()
        finally:
            _end(started)
        if why is not None:
            raise (FileError if why.kind == "file error" else RepvitNasError)(why.text)
        if code:
            raise RepvitNasError(
                f"{folder}: one of its {processes} processes was lost: {_last_words(errors)}"
            )


def _heard(lines: "IO[bytes] | tuple[bytes, ...]", say: Say, progress: Progress) -> _Line | None:
    """Pass on what the processes say until they are silent; returns why they end, if one says that."""
    why = None
    for line in lines:
        try:
            said = msgspec.json.decode(line, type=_Line)
        except msgspec.MsgspecError:  # a library's own word
            continue
        if said.kind == "progress":
            progress(said.text, said.done, said.of)
        elif said.kind == "say":
            say(said.text)
        else:
            why = why or said
    return why


def _end(started: "subprocess.Popen[bytes]") -> None:
    """Have the processes end, which they do when their input does."""
    if started.stdin is not None:
        started.stdin.close()
    try:
        started.wait(_END_S)
    except subprocess.TimeoutExpired:
        started.kill()


def _last_words(errors: IO[bytes]) -> str:
    """Return the last line with a word in it, in which torchrun says how a process ended."""
    errors.seek(0)
    lines = [" ".join(line.split()) for line in errors.read().decode(errors="replace").splitlines()]
    return next((line[:_QUOTED] for line in reversed(lines) if line.strip("=-")), "it said nothing")


def _tell(line: _Line) -> None:
    """Say a line at once, as a whole, whoever else does."""
    os.write(sys.stdout.fileno(), msgspec.json.encode(line) + b"\n")


def _end_with_input() -> None:
    """End this process when whoever started it is gone, or wishes it."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _one_of_several(folder: Path, place: str, picture: str) -> int:
    """Train as one of the processes; returns the exit status."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    first = os.environ["RANK"] == "0"

    def told(doing: str, done: int, of: int) -> None:
        if first:
            _tell(_Line("progress", doing, done, of))

    try:
        record = read_training(folder)
        train(
            record.asked,
            folder,
            msgspec.json.decode(place, type=Place),
            command=record.command,
            space=record.space,
            resume="auto",
            say=lambda text: _tell(_Line("say", text)),
            progress=told,
            picture=pkgutil.resolve_name(picture) if picture else None,
        )
    except RepvitNasError as error:
        _tell(_Line("file error" if isinstance(error, FileError) else "error", str(error)))
        return 1
    except Exception as error:  # noqa: BLE001  # such as memory that ran out; the worker says it in a line
        said = " ".join(str(error).split())[:_QUOTED]
        _tell(_Line("error", f"{folder}: {type(error).__name__}: {said}"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_one_of_several(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
