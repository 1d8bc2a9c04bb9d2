"""The one door for ARCH: a reference name, an architecture file, a winner, or a trained run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repvit_nas.architecture import Architecture, read_architecture
from repvit_nas.errors import RepvitNasError, WrongTypeError
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import Space
from repvit_nas.searching.records import FrontEntry, read_winner, read_winners_space

if TYPE_CHECKING:
    import torch


# Whatever names a network.
Named = str | Path | Architecture | FrontEntry


def load_architecture(text: Named) -> Architecture:
    """Return the architecture that `text` names.

    Args:
        text: A reference name (`repvit_m0_9`), the path of an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), the folder of a training run, a network of a front, or an
            architecture, which is returned as it is.

    Raises:
        WrongTypeError: It is of a type that names no network.
        RepvitNasError: It is none of these, or the file is not valid.
    """
    if isinstance(text, Architecture):
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
    if path.exists() or ":" not in name:
        return None
    return read_winners_space(name)


def load(named: Named, *, pretrained: bool = False, **kwargs: Any) -> "torch.nn.Module":
    """Return the network that `named` stands for as a torch module.

    Args:
        named: A reference name (`repvit_m0_9`), an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), the folder of a training run, which comes with the
            weights that were trained, a network of a front, or an architecture.
        pretrained: Load timm's published weights; only reference networks have them.
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
        return load_trained(trained_run(named), **kwargs)
    return create(load_architecture(named), pretrained=pretrained, **kwargs)


def _load(name: str) -> Architecture:
    if name in family():
        return family()[name].architecture
    path = Path(name)
    if path.is_file():
        return read_architecture(path)
    if path.is_dir():
        from repvit_nas.training.records import is_training_run, read_training

        if is_training_run(path):
            return read_training(path).asked.architecture
    if ":" in name:
        return read_winner(name)
    if path.suffix.lower() == ".json" or "/" in name:
        return read_architecture(path)  # says why the file cannot be read
    import difflib  # of no use as long as nothing is wrong

    near = difflib.get_close_matches(name[:80], family(), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise RepvitNasError(
        f"{name!r} is no network{hint}: give a reference name ({', '.join(family())}), an architecture "
        "file, or a winner of a run such as results/iphone12-1.0ms:best"
    )
