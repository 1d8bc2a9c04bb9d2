"""Where the four data folders are: in the working directory first, then the shipped copies."""

from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas.errors import UnknownNameError

# The device that is meant where none is named.
DEFAULT_DEVICE: Final = "iphone12"


class Found(NamedTuple):
    """A file or folder of data, and whether it is the copy that came with the package."""

    path: Path
    shipped: bool

    def __str__(self) -> str:
        """Say the path as a user would write it, and which copy it is."""
        return f"{self.path.name} (shipped with repvit-nas)" if self.shipped else str(self.path)


def shipped_root() -> Path:
    """Return the folder that holds the shipped copies of the four data folders.

    An installed wheel carries them inside the package; a checkout holds them beside it.
    """
    package = Path(str(resources.files("repvit_nas")))
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def find(folder: str, name: str, kind: str, *, suffix: str = "") -> Found:
    """Find `folder`/`name` in the working directory or among the shipped copies.

    Args:
        folder: One of the data folders.
        name: What a user calls it; `iphone12-3.5ms` has no suffix.
        kind: What it is, for the message.
        suffix: What its file's name has behind that.

    Raises:
        UnknownNameError: Neither place has it; the message lists what there is.
    """
    for root, shipped in _roots():
        path = root / folder / f"{name}{suffix}"
        if _holds_something(path):
            return Found(path, shipped)
    raise UnknownNameError.of(kind, name, sorted(listed(folder)))


def listed(folder: str) -> dict[str, Found]:
    """Return every entry of `folder` by its name without suffix; the working directory wins."""
    entries: dict[str, Found] = {}
    for root, shipped in reversed(_roots()):
        base = root / folder
        if base.is_dir():
            entries |= {
                path.name if path.is_dir() else path.stem: Found(path, shipped)
                for path in sorted(base.iterdir())
                if not path.name.startswith(".") and _holds_something(path)
            }
    return entries


def _holds_something(path: Path) -> bool:
    """Return whether there is a file, or a folder with more than what hides: one may just be begun."""
    if not path.is_dir():
        return path.exists()
    try:
        return any(not inner.name.startswith(".") for inner in path.iterdir())
    except OSError:  # whoever reads it says why it cannot be
        return True


def _roots() -> list[tuple[Path, bool]]:
    here, shipped = Path(), shipped_root()
    if here.resolve() == shipped.resolve():
        return [(here, False)]
    return [(here, False), (shipped, True)]
