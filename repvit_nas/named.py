"""The ARCH argument: a reference name, an architecture file, or a winner of a run."""

from pathlib import Path

from repvit_nas.architecture import Architecture, read_architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.search.records import read_winner
from repvit_nas.search_space.family import family


def load_architecture(text: str | Path | Architecture) -> Architecture:
    """Return the architecture that `text` names.

    Args:
        text: A reference name (`repvit_m0_9`), the path of an architecture file, a winner of a run
            (`results/iphone12-1.0ms:best`), or an architecture, which is returned as it is.

    Raises:
        RepvitNasError: It is none of the three, or the file is not valid.
    """
    if isinstance(text, Architecture):
        return text
    name = str(text)
    if name in family():
        return family()[name].architecture
    path = Path(name)
    if path.is_file():
        return read_architecture(path)
    if ":" in name:
        return read_winner(name)
    if path.suffix or "/" in name:
        return read_architecture(path)  # says why the file cannot be read
    raise RepvitNasError(
        f"{name!r} is no network: give a reference name ({', '.join(family())}), an architecture "
        "file, or a winner of a run such as results/iphone12-1.0ms:best"
    )
