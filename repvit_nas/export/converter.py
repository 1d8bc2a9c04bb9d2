"""coremltools, imported when it is first needed: that takes seconds."""

import functools
import logging
import warnings
from typing import Any


@functools.lru_cache(maxsize=1)
def coremltools() -> Any:
    """Import coremltools without its remarks on versions, and on what only a Mac can load."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as tools
    return tools
