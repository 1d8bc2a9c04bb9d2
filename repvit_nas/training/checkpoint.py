"""Checkpoints: everything from which a run goes on, whole or not at all.

Weights are safetensors; what else a run needs (the optimizer's state, the schedule, the scale of
half-precision gradients, the place in the epoch, the log) is read with `weights_only`, so a
checkpoint holds no code. A checkpoint is a folder of its own; a small file that names it is written
last. Whatever goes wrong while it is written, that file still names the one before. timm's own
checkpoint saver is not used: it pickles the arguments into the weights and has no place within an
epoch.

There is no state of a random number generator in here, because none carries over from one step to
the next: each step's numbers follow from the seed and its place (`loading`).
"""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from torch import nn

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.network.weights import State
from repvit_nas.quantities import Count

CHECKPOINTS: Final = "checkpoints"
POINTER: Final = "last.json"
_MODEL: Final = "model.safetensors"
_EMA: Final = "ema.safetensors"
_STATE: Final = "trainer.pt"

_NAME: Final = re.compile(r"update-\d{8,18}")


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which checkpoint a run goes on from (schema 1).

    Attributes:
        name: Its folder.
        updates: Updates of the weights before it.
        previous: The folder of the one before, kept as well.
        digest: Of its files; empty where an older version wrote it.
        previous_digest: Of the files of the one before.
    """

    schema: Literal[1] = 1
    name: str
    updates: Count
    previous: str = ""
    digest: str = ""
    previous_digest: str = ""

    def __post_init__(self) -> None:
        """Check the rules that types do not state: a checkpoint lies in its run."""
        for name in (self.name, self.previous or _name(0)):
            if not _NAME.fullmatch(name):
                raise ValueError(f"a checkpoint is called update-00000012 or so; got {name!r}")


def _name(updates: int) -> str:
    return f"update-{updates:08d}"


class Loaded(NamedTuple):
    """A checkpoint's content: the weights, their average if there is one, and everything else."""

    model: State
    ema: State | None
    trainer: dict[str, Any]


def write_tensors(path: Path, state: State) -> None:
    """Write weights to a safetensors file, whole or not at all.

    Raises:
        FileError: The folder cannot be written or is full. What was there before stays.
    """
    own = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    files.write_bytes(path, tensor_bytes(own, metadata={"format": "pt"}))


def read_tensors(path: Path) -> State:
    """Read the weights of a safetensors file.

    Raises:
        FileError: It cannot be read, or is no such file.
    """
    try:
        return load_tensors(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise FileError(f"{path}: is no safetensors file: {error}") from error


def load_strictly(model: nn.Module, state: State, origin: str) -> None:
    """Load weights into a network of exactly their keys and shapes.

    Raises:
        RepvitNasError: They are of another network; the message names keys and shapes.
    """
    own = model.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    apart = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    found = [
        f"{len(keys)} {what}: {', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''}"
        for what, keys in (
            ("keys missing", missing),
            ("keys too many", extra),
            ("shapes differ", apart),
        )
        if keys
    ]
    if found:
        raise RepvitNasError(f"{origin} is of another architecture: {'; '.join(found)}")
    model.load_state_dict(state)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / CHECKPOINTS
        self._whole: tuple[str, str] | None = None  # what this process has read or written last

    def last(self) -> Pointer | None:
        """Return which checkpoint was written last, if there is one."""
        path = self.folder / POINTER
        return files.read_json(path, Pointer) if path.is_file() else None

    def last_text(self) -> str:
        """Say which checkpoint is the last whole one, after a look at its files."""
        last = self.last()
        if last is None:
            return "there is no checkpoint yet"
        for name, digest in _kept(last):
            if not self._damage(name, digest):
                updates = int(name.removeprefix(_name(0)[:-8]))
                return f"the last good checkpoint is {self.folder / name}, of update {updates}"
        return f"no checkpoint in {self.folder} is whole"

    def save(self, updates: int, model: State, ema: State | None, trainer: dict[str, Any]) -> None:
        """Write a checkpoint; the one before it is kept, older ones are removed.

        Raises:
            FileError: The disk is full or cannot be written. The last checkpoint stays the last.
        """
        name = _name(updates)
        before = self._whole if self._whole is not None else self._last_whole()
        again = before is not None and before[0] == name
        place = self.folder / name
        state = io.BytesIO()
        torch.save(trainer, state)
        try:
            if not again:
                shutil.rmtree(place, ignore_errors=True)  # a damaged one
            write_tensors(place / _MODEL, model)
            if ema is not None:
                write_tensors(place / _EMA, ema)
            files.write_bytes(place / _STATE, state.getvalue())
            digest = _digest(place)
            previous, previous_digest = ("", "") if before is None or again else before
            pointer = Pointer(
                name=name,
                updates=updates,
                previous=previous,
                digest=digest,
                previous_digest=previous_digest,
            )
            files.write_json(self.folder / POINTER, pointer)
        except FileError as error:
            if not again:
                shutil.rmtree(place, ignore_errors=True)
            raise FileError(f"{error}; {self.last_text()}") from error
        self._whole = name, digest
        self._remove_others(pointer)

    def _last_whole(self) -> tuple[str, str] | None:
        """Return name and digest of the last checkpoint whose files are as they were written."""
        last = self.last()
        kept = [] if last is None else _kept(last)
        return next((each for each in kept if not self._damage(*each)), None)

    def _damage(self, name: str, digest: str) -> str:
        """Say what is wrong with the files of a checkpoint; nothing if they are as written."""
        place = self.folder / name
        missing = [each for each in (_MODEL, _STATE) if not (place / each).is_file()]
        if missing:
            return f"{place / missing[0]}: is not there"
        found = _digest(place)
        if digest and found != digest:
            return f"{place}: is damaged: its digest is {found}, {digest} was written"
        return ""

    def _remove_others(self, pointer: Pointer) -> None:
        for path in self.folder.glob("update-*"):
            if path.name not in {pointer.name, pointer.previous}:
                shutil.rmtree(path, ignore_errors=True)

    def load(self, say: Callable[[str], None] = lambda _: None) -> Loaded | None:
        """Read the last checkpoint, if there is one, or the one before if the last is damaged.

        Args:
            say: Told if it is damaged.

        Raises:
            FileError: A file of it cannot be read.
            RepvitNasError: Its state is not as this version writes it.
        """
        last = self.last()
        if last is None:
            return None
        kept = _kept(last)
        for place, (name, digest) in enumerate(kept):
            try:
                damage = self._damage(name, digest)
                if damage:
                    raise FileError(damage)
                loaded = self._read(self.folder / name)
            except RepvitNasError as error:
                if place + 1 == len(kept):
                    raise
                say(f"{error}; going on from the one before, {last.previous}")
                continue
            self._whole = name, digest
            return loaded
        return None

    def _read(self, place: Path) -> Loaded:
        model = read_tensors(place / _MODEL)
        ema = read_tensors(place / _EMA) if (place / _EMA).is_file() else None
        try:
            content = io.BytesIO((place / _STATE).read_bytes())
            trainer = torch.load(content, map_location="cpu", weights_only=True)
        except OSError as error:
            raise FileError(f"{place / _STATE}: cannot be read: {error.strerror}") from error
        except Exception as error:  # torch raises many kinds for a damaged file
            raise RepvitNasError(f"{place / _STATE}: is no state of a training run") from error
        return Loaded(model, ema, trainer)


def _kept(last: Pointer) -> list[tuple[str, str]]:
    """Return name and digest of the checkpoints that are kept, the last one first."""
    return [(last.name, last.digest)] + (
        [(last.previous, last.previous_digest)] if last.previous else []
    )


def _digest(place: Path) -> str:
    """Return the digest of the files of a checkpoint.

    Raises:
        FileError: One cannot be read.
    """
    try:
        return files.digest(
            *(place / each for each in (_MODEL, _EMA, _STATE) if (place / each).is_file())
        )
    except OSError as error:
        raise FileError(f"{place}: cannot be read: {error.strerror or error}") from error
