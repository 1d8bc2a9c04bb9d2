"""The fused form: a network whose branches and batch norms are one convolution each, in its file."""

import copy
from pathlib import Path
from typing import NamedTuple

from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.network import reparameterize
from repvit_nas.training.checkpoint import read_tensors, write_tensors


class Fused(NamedTuple):
    """A fused network.

    Attributes:
        double: In double precision.
        single: The same, each weight rounded once.
    """

    double: nn.Module
    single: nn.Module


def fuse(model: nn.Module) -> Fused:
    """Return a network fused in double precision, and that rounded to single."""
    double = reparameterize(copy.deepcopy(model).double())
    return Fused(double, copy.deepcopy(double).float())


def write_fused(path: Path, fused: Fused) -> Path:
    """Write a fused network, and make sure that its file holds it.

    Raises:
        RepvitNasError: A tensor of the file is not that of the fused network, bit by bit.
        FileError: It cannot be written or read.
    """
    write_tensors(path, fused.single.state_dict())
    check_fused(path, fused)
    return path


def check_fused(path: Path, fused: Fused) -> None:
    """Compare the fused form's file with the fused network.

    Raises:
        RepvitNasError: A tensor of the file is not that of the fused network, bit by bit.
        FileError: It cannot be read.
    """
    stored, known = read_tensors(path), fused.single.state_dict()
    wrong = [
        name
        for name, value in known.items()
        # A nan is equal to none; it is the scores that say so.
        if name not in stored or stored[name].numpy().tobytes() != value.numpy().tobytes()
    ]
    if wrong or len(stored) != len(known):
        raise RepvitNasError(
            f"{path}: {len(wrong)} of {len(known)} tensors are not the fused network's, the first is "
            f"{(wrong or sorted(set(stored) - set(known)))[0]}: do not use it"
        )
