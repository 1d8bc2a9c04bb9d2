"""Find RepViT variants under a millisecond budget.

Importing this package reads nothing and imports neither torch nor timm; what needs them is
imported when it is used. Once timm is imported, it knows the model `repvit_nas`.
"""

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

from repvit_nas.version import __version__

if TYPE_CHECKING:
    from repvit_nas.api.accuracy import Accuracies, Accuracy, estimate
    from repvit_nas.api.comparing import Comparison, compare
    from repvit_nas.api.devices import Devices, DeviceTable, Family, devices, family, table
    from repvit_nas.api.latency import Latencies, Latency, predict
    from repvit_nas.api.networks import Description, describe, read, write
    from repvit_nas.api.path import PathTable, path
    from repvit_nas.api.search import Search, search
    from repvit_nas.api.segmenting import sam
    from repvit_nas.architecture import Architecture, Stage
    from repvit_nas.errors import RepvitNasError
    from repvit_nas.named import load, load_architecture
    from repvit_nas.network import RepVitNas, reparameterize
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.units import rows

# Where each public name is, by the file that holds it.
_NAMES = {
    "api.accuracy": ("Accuracies", "Accuracy", "estimate"),
    "api.comparing": ("Comparison", "compare"),
    "api.devices": ("DeviceTable", "Devices", "Family", "devices", "family", "table"),
    "api.latency": ("Latencies", "Latency", "predict"),
    "api.networks": ("Description", "describe", "read", "write"),
    "api.path": ("PathTable", "path"),
    "api.search": ("Search", "search"),
    "api.segmenting": ("sam",),
    "architecture": ("Architecture", "Stage"),
    "errors": ("RepvitNasError",),
    "named": ("load", "load_architecture"),
    "network": ("RepVitNas", "reparameterize"),
    "predictors.predictor": ("load_predictor",),
    "search_space": ("load_space",),
    "units": ("rows",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "Accuracies",
    "Accuracy",
    "Architecture",
    "Comparison",
    "Description",
    "DeviceTable",
    "Devices",
    "Family",
    "Latencies",
    "Latency",
    "PathTable",
    "RepVitNas",
    "RepvitNasError",
    "Search",
    "Stage",
    "__version__",
    "compare",
    "describe",
    "devices",
    "estimate",
    "family",
    "load",
    "load_architecture",
    "load_predictor",
    "load_space",
    "path",
    "predict",
    "read",
    "reparameterize",
    "rows",
    "sam",
    "search",
    "table",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repvit_nas' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"repvit_nas.{_HOMES[name]}"), name)
    globals()[name] = found  # asked for once, it is as fast as any other
    return found


def __dir__() -> list[str]:
    return __all__


def _register_with_timm(_: Any) -> None:
    importlib.import_module("repvit_nas.timm_entry")


wrapt.register_post_import_hook(_register_with_timm, "timm")
