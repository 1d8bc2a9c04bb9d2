"""The one door for ARCH: a reference name, a step of the path, an architecture file, a winner, a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repvit_nas.architecture import (
    LOGITS,
    SAM_RESOLUTION,
    SAM_STEP,
    Architecture,
    OutputKind,
    with_output,
)
from repvit_nas.errors import RepvitNasError, WrongTypeError
from repvit_nas.networks import adapted, read_network
from repvit_nas.search_space.family import family
from repvit_nas.search_space.path import PREFIX, path_network
from repvit_nas.search_space.space import Space
from repvit_nas.searching.records import FrontEntry, read_winner, read_winners_space
from repvit_nas.units import Listed, Network

if TYPE_CHECKING:
    import torch


# Whatever names a network.
Named = str | Path | Architecture | Listed | FrontEntry


def load_architecture(text: Named) -> Architecture:
    """Return the RepViT architecture that `text` names.

    Args:
        text: A reference name (`repvit_m0_9`), the path of an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), the folder of a training run, a network of a front, or an
            architecture, which is returned as it is.

    Raises:
        WrongTypeError: It is of a type that names no network.
        RepvitNasError: It is none of these, the file is not valid, or what it names has no stages.
    """
    network = load_network(text)
    if isinstance(network, Architecture):
        return network
    raise RepvitNasError(
        f"{network.name or text} is told by its units and has no stages, which this needs: give a RepViT "
        "architecture, such as repvit_m0_9"
    )


def load_network(text: Named) -> Network:
    """Return the network that `text` names, whether it is told by its stages or by its units.

    Args:
        text: What names an architecture, see :func:`load_architecture`; a step of the path from
            MobileNetV3-L (`path:0` to `path:9`, `path:3b`), or a network told by its units.

    Raises:
        WrongTypeError: It is of a type that names no network.
        RepvitNasError: It is none of these, or the file is not valid.
    """
    if isinstance(text, Architecture | Listed):
        return text
    if isinstance(text, FrontEntry):
        return text.architecture
    if not isinstance(text, str | Path):
        raise WrongTypeError.of("a network", "a name, a path or an architecture", text)
    try:
        return _load(str(text))
    except OSError as error:  # such as a name that is too long for a file
        raise RepvitNasError(f"{text}: cannot be read: {error.strerror or error}") from error


def space_of(text: str | Path) -> Space | None:
    """Return the space that a winner, or what a run trained, was searched in; None where none was kept.

    Raises:
        FileError: The run's space is not valid.
    """
    name = str(text)
    path = Path(name)
    if name in family():
        return None
    if path.is_dir():
        from repvit_nas.training.records import is_training_run, read_training

        kept = read_training(path).space if is_training_run(path) else None
        return None if kept is None else Space(kept)
    if path.exists() or ":" not in name or _step(name):
        return None
    return read_winners_space(name)


def shaped(
    architecture: Network, output: OutputKind | None = None, resolution: int | None = None
) -> Network:
    """Return a network that hands back something else, or of another input side.

    Args:
        architecture: The network.
        output: What it shall hand back; None for what it does.
        resolution: Side of its input in pixels; None for its own, or for the 1024 px of SAM where it
            becomes an encoder of that.

    Raises:
        RepvitNasError: There is no such network; the message says why.
    """
    if output is None and resolution is None:
        return architecture
    if not isinstance(architecture, Architecture):
        if output not in (None, LOGITS):
            raise RepvitNasError(
                f"{architecture.name}: is told by its units and hands back logits alone; got {output!r}"
            )
        return adapted(architecture, resolution=resolution)
    output = architecture.output if output is None else output
    if resolution is None and output in SAM_STEP and architecture.output not in SAM_STEP:
        resolution = SAM_RESOLUTION
    try:
        return with_output(architecture, output, resolution=resolution)
    except ValueError as error:
        raise RepvitNasError(str(error)) from error


def load(
    named: Named,
    *,
    pretrained: bool = False,
    output: OutputKind | None = None,
    **kwargs: Any,
) -> "torch.nn.Module":
    """Return the network that `named` stands for as a torch module.

    Args:
        named: A reference name (`repvit_m0_9`), an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), the folder of a training run, which comes with the
            weights that were trained, a network of a front, or an architecture.
        pretrained: Load timm's published weights; only reference networks have them.
        output: What the network shall hand back, such as `features`; None for what it does. A trained
            classifier comes without its head then.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Returns:
        The network in training form and evaluation mode, untrained unless `pretrained` or a run.

    Raises:
        RepvitNasError: There is no such network, or its training is not finished.
        FileError: A run's files are damaged.
    """
    from repvit_nas.network import create
    from repvit_nas.training.records import is_training_run
    from repvit_nas.training.trained import load_trained, trained_run

    if isinstance(named, str | Path) and is_training_run(Path(named)):
        return load_trained(trained_run(named), output=output, **kwargs)
    return create(shaped(load_network(named), output), pretrained=pretrained, **kwargs)


def _step(name: str) -> str:
    """Return which step of the path a name means; empty if it is none, or a folder is called so."""
    prefix, _, step = name.partition(":")
    return step if prefix == PREFIX and not Path(prefix).is_dir() else ""


def _load(name: str) -> Network:
    if name in family():
        return family()[name].architecture
    path = Path(name)
    if path.is_file():
        return read_network(path)
    if path.is_dir():
        from repvit_nas.training.records import is_training_run, read_training

        if is_training_run(path):
            return read_training(path).asked.architecture
    if _step(name):
        return path_network(_step(name))
    if ":" in name:
        return read_winner(name)
    if path.suffix.lower() == ".json" or "/" in name:
        return read_network(path)  # says why the file cannot be read
    import difflib  # of no use as long as nothing is wrong

    near = difflib.get_close_matches(name[:80], family(), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise RepvitNasError(
        f"{name!r} is no network{hint}: give a reference name ({', '.join(family())}), a step of "
        "the path from MobileNetV3-L (path:0 to path:9), an architecture file, or a winner of a run such as results/iphone12-1.0ms:best"
    )
