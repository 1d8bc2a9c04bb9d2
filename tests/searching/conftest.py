import pytest

from repvit_nas import files
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import load_space
from repvit_nas.search_space.space import Space
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings

STAGE = {"depth": [1, 2], "se": ["none", "alternate"], "expansion": [2.0], "kernel": [3]}


@pytest.fixture(scope="session")
def small_space():
    """A space of 3*3*2*2 widths, 2*2*3*2 depths, 2 SE placements and 2 expansions: 3,456."""
    document = {
        "schema": 1,
        "name": "small",
        "tied": ["se"],
        "constraints": ["width[0] <= width[1]"],
        "stages": [
            STAGE | {"width": [40, 48, 96]},
            STAGE | {"width": [80, 96, 112]},
            STAGE | {"width": [160, 192], "depth": [8, 10, 14], "expansion": [2.0, 3.0]},
            STAGE | {"width": [320, 384]},
        ],
    }
    return Space(files.convert("small.toml", document, SpaceFile))


@pytest.fixture(scope="session")
def make_problem(small_space):
    def make(space=None, devices=("iphone12",), **changes):
        changes.setdefault("budgets_ms", dict.fromkeys(devices, 0.9))
        chosen = small_space if space is None else load_space(space)[0]
        predictors = [load_predictor(device)[0] for device in changes["budgets_ms"]]
        return Problem(chosen, predictors, load_family_estimator(), Settings(**changes))

    return make
