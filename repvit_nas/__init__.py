"""Find RepViT variants under a millisecond budget.

Importing this package reads nothing and imports neither torch nor timm; what needs them is
imported when it is used. Once timm is imported, it knows the model `repvit_nas`.
"""

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

from repvit_nas.version import __version__

if TYPE_CHECKING:
    from repvit_nas.architecture import (
        Architecture,
        Stage,
        read_architecture,
        write_architecture,
    )
    from repvit_nas.errors import RepvitNasError
    from repvit_nas.named import load, load_architecture
    from repvit_nas.network import RepVitNas, reparameterize
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.units import rows

__all__ = [
    "Architecture",
    "RepVitNas",
    "RepvitNasError",
    "Stage",
    "__version__",
    "load",
    "load_architecture",
    "load_predictor",
    "load_space",
    "read_architecture",
    "reparameterize",
    "rows",
    "write_architecture",
]

_HOMES = {
    "Architecture": "architecture",
    "RepVitNas": "network",
    "RepvitNasError": "errors",
    "Stage": "architecture",
    "load": "named",
    "load_architecture": "named",
    "load_predictor": "predictors.predictor",
    "load_space": "search_space",
    "read_architecture": "architecture",
    "reparameterize": "network",
    "rows": "units",
    "write_architecture": "architecture",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repvit_nas' has no attribute {name!r}")
    return getattr(importlib.import_module(f"repvit_nas.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


def _register_with_timm(_: Any) -> None:
    importlib.import_module("repvit_nas.timm_entry")


wrapt.register_post_import_hook(_register_with_timm, "timm")
