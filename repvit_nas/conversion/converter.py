"""coremltools, imported when it is first needed: that takes seconds."""

import functools
import logging
import re
import warnings
from typing import Any, Final

# What converts and times programs, in pip's words; pyproject.toml asks for the same.
REQUIRED: Final = "coremltools>=9.0"


def installed_version() -> str:
    """Return the version of coremltools that is installed; empty if none is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("coremltools")
    except PackageNotFoundError:
        return ""


def too_old(version: str) -> str:
    """Say what to do about a version that is older than the one required; empty if it is not."""
    if _numbers(version) >= _numbers(REQUIRED):
        return ""
    return f"{version or 'an unknown version'} is too old: pip install --upgrade '{REQUIRED}'"


def _numbers(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in [*re.findall(r"\d+", text), "0", "0"][:2])


@functools.lru_cache(maxsize=1)
def coremltools() -> Any:
    """Import coremltools without its remarks on versions, and on what only a Mac can load."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as tools
    return tools
