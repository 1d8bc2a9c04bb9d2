"""What the weights of a training start from: nothing, a network, a run, or a file of weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from repvit_nas.architecture import Architecture
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.network.branches import in_form
from repvit_nas.network.weights import Weights, from_official, is_official
from repvit_nas.networks import adapted
from repvit_nas.training.checkpoint import Checkpoints, load_strictly
from repvit_nas.training.inherit import inherit, recalibrate
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import RANDOM, Asked, is_training_run
from repvit_nas.training.tasks import new_network
from repvit_nas.units import Listed, Network, rows
from repvit_nas.words import Say

if TYPE_CHECKING:
    from repvit_nas.training.data import Images

# How names of files of weights end.
_ENDS: Final = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")
_HEAD: Final = "head."
_NECK: Final = "neck."
_CLASSES: Final = "head.head.l.bias"


def started_network(
    asked: Asked, images: "Images", checkpoints: Checkpoints, *, flip: bool, say: Say
) -> nn.Module:
    """Return the network that a run trains; where there is a checkpoint, its weights come from there.

    Args:
        asked: What the run is asked.
        images: For the statistics of batch norms.
        checkpoints: Of the run.
        flip: Whether a mirrored image is of the same class.
        say: Told what was taken over.

    Raises:
        RepvitNasError: See :func:`start_from`.
    """
    model = new_network(asked.architecture, asked.recipe, asked.seed)
    if checkpoints.last() is None:
        start_from(asked.init, model, images, asked.recipe, asked.seed, flip=flip, say=say)
    return model


def start_from(
    init: str,
    model: nn.Module,
    images: "Images",
    recipe: Recipe,
    seed: int,
    *,
    flip: bool = True,
    say: Say = lambda _: None,
) -> None:
    """Give a new network the weights that its training starts from, in place.

    Args:
        init: `random` keeps those it has; a reference name takes timm's published ones; a folder
            is a training run; a file is one of weights (:func:`read_weights`) of a network of the
            same architecture, or of the reference that `NAME=FILE` names before it.
        model: The new network, with random weights.
        images: For the statistics of batch norms.
        recipe: How those are prepared.
        seed: Which of them.
        flip: Whether a mirrored image is of the same class.
        say: Told what was taken over.

    Raises:
        RepvitNasError: There are no such weights, they are of another architecture, or no finite
            numbers.
    """
    if init == RANDOM:
        return
    known: Any = model
    source = _source(init) if isinstance(known.architecture, Architecture) else _same(init, known)
    if isinstance(source, Mapping):
        say(f"{init}: {_load(source, known, init)}")
        return
    inherited = inherit(source, model)
    recalibrate(model, images, recipe, known.architecture.resolution, seed=seed, flip=flip)
    share = inherited.taken / inherited.total
    say(f"{init}: {share:.0%} of the parameters start from it, batch norms set anew")


def read_weights(path: Path) -> Weights:
    """Read a file of weights as timm does: safetensors, or torch's, read with `weights_only`.

    Of a training checkpoint the average of the weights is taken where there is one, and `model` or
    `state_dict` otherwise; prefixes of wrapped networks are taken off the names.

    Raises:
        FileError: It cannot be read, holds code, or no weights, or some that are no finite numbers.
    """
    from timm.models import load_state_dict

    try:
        with path.open("rb"):
            pass
        state: Any = load_state_dict(str(path), weights_only=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # each damage has a kind of its own
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(f"{path}: holds no weights that can be read safely: {said}") from error
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise FileError(f"{path}: holds something else than weights by name")
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise FileError(f"{path}: {name} is no finite number throughout")
    weights: Weights = state
    return weights


def _named(state: Weights, architecture: Network) -> dict[str, torch.Tensor]:
    """Return weights under our names, which are timm's, if they have the official ones."""
    if is_official(state) and isinstance(architecture, Architecture):
        return from_official(state, architecture)
    return dict(state)


def _load(source: Weights, model: Any, init: str) -> str:
    """Load weights of a network's own architecture; returns what was taken over.

    A head of other classes is not, and a second head is new where the weights have none.
    """
    named = _named(source, model.architecture)
    state = in_form(named, branches=model.branches, legacy=model.legacy)
    own = model.state_dict()
    neck = {key: value for key, value in own.items() if key.startswith(_NECK)}
    new_neck = bool(neck) and not any(key.startswith(_NECK) for key in state)
    fits = _CLASSES in state and _CLASSES in own and state[_CLASSES].shape == own[_CLASSES].shape
    heads = {key: value for key, value in own.items() if key.startswith(_HEAD)}
    taken = {key: state[key] for key in heads if fits and key in state}
    trunk = {key: value for key, value in state.items() if not key.startswith(_HEAD)}
    try:
        load_strictly(model, trunk | heads | taken | (neck if new_neck else {}), init)
    except RepvitNasError as error:
        raise RepvitNasError(
            f"{error}; weights of a reference network are inherited with --init NAME=FILE"
        ) from error
    if new_neck:
        return "all weights taken over but for the neck, which is new"
    if len(taken) == len(heads):
        return "all weights taken over"
    return f"all weights taken over but for {'the head' if not taken else 'a second head'}, which is new"


def _same(init: str, model: Any) -> Weights:
    """Return weights of the very units that a network is told by: there is no inheriting between others.

    Raises:
        RepvitNasError: They are of another network, or there are none.
    """
    from repvit_nas.training.trained import load_trained, trained_run

    own: Network = model.architecture
    if is_training_run(Path(init)):
        donor: Any = load_trained(trained_run(init))
        theirs = donor.architecture
        if rows(theirs)[:-1] == rows(adapted(own, resolution=theirs.resolution))[:-1]:
            weights: Weights = donor.state_dict()
            return weights
    elif Path(init).is_file():
        return read_weights(Path(init))
    raise RepvitNasError(
        f"--init {init}: {own.name or 'the network'} is told by its units, and takes weights of the same "
        "units alone: give a run of it, or a file of its weights"
    )


def _source(init: str) -> nn.Module | Weights:
    """Return the network to inherit from, or weights of this very architecture."""
    from repvit_nas.network import create
    from repvit_nas.search_space.family import family
    from repvit_nas.training.trained import load_trained, trained_run

    if is_training_run(Path(init)):
        donor: Any = load_trained(trained_run(init))
        if isinstance(donor.architecture, Listed):
            raise RepvitNasError(
                f"--init {init}: its network is told by its units, whose weights a RepViT network cannot "
                "inherit"
            )
        return cast("nn.Module", donor)
    name, equals, file = init.partition("=")
    if equals and name in family() and not Path(init).exists():
        return _reference(family()[name].architecture, Path(file), init)
    if init not in family() and (Path(init).is_file() or Path(init).suffix.lower() in _ENDS):
        return read_weights(Path(init))
    if init not in family():
        raise RepvitNasError(
            f"--init {init}: is neither {RANDOM}, a reference name ({', '.join(family())}), a "
            f"training run's folder, nor a file of weights ({', '.join(_ENDS)})"
        )
    try:
        return create(family()[init].architecture, pretrained=True)
    except RepvitNasError:
        raise
    except Exception as error:  # whatever a download can raise
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise RepvitNasError(
            f"--init {init}: timm's weights cannot be had ({said}); download them and give "
            f"--init {init}=FILE.safetensors"
        ) from error


def _reference(architecture: Architecture, path: Path, init: str) -> nn.Module:
    """Return a reference network with the weights of a file."""
    from repvit_nas.network import create

    state = _named(read_weights(path), architecture)
    old: Any = create(
        architecture,
        num_classes=len(state[_CLASSES]) if _CLASSES in state else 0,
        distillation=any("head_dist" in key for key in state),
    )
    load_strictly(old, in_form(state, branches=True, legacy=old.legacy), init)
    return cast("nn.Module", old)
