"""Room: what turns an architecture into a trained network: data, recipes, the loop, its folder."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repvit_nas.training.recipe import Recipe, load_recipe
    from repvit_nas.training.records import Asked
    from repvit_nas.training.run import train
    from repvit_nas.training.spec import DataSpec

__all__ = ["Asked", "DataSpec", "Recipe", "load_recipe", "train"]

_HOMES = {
    "Asked": "records",
    "DataSpec": "spec",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repvit_nas.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"repvit_nas.training.{_HOMES[name]}"), name)
