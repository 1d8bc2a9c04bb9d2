"""Finals of a search, by one process and by several."""

import json

import msgspec
import pytest
from support import ROOT
from training_support import assert_learned_alike

from repvit_nas.campaign.finals import FinalsWishes, hold_finals
from repvit_nas.search_space.family import family
from repvit_nas.training.place import Place
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import read_training
from repvit_nas.training.spec import DataSpec

RUN = ROOT / "results" / "iphone12-1.0ms"
WISHES = FinalsWishes(
    data=DataSpec(name="shapes", train_images=48, val_images=24),
    recipe=load_recipe("quick", {"epochs": 1, "batch": 8, "accumulate": 2}),
    seeds=1,
    winners=1,
    references=(family()["repvit_m0_6"].architecture,),
)


@pytest.mark.slow
def test_two_processes_hold_the_finals_that_one_holds(tmp_path):
    alone = hold_finals(RUN, WISHES, tmp_path / "alone", Place("cpu"))
    both = hold_finals(RUN, WISHES._replace(processes=2), tmp_path / "both", Place("cpu"))

    assert len(alone.networks) == 2
    assert [msgspec.structs.replace(row, top1=(), lead=None) for row in both.networks] == [
        msgspec.structs.replace(row, top1=(), lead=None) for row in alone.networks
    ]
    names = [path.name for path in (tmp_path / "alone").iterdir() if path.is_dir()]
    assert len(names) == 2
    for name in names:
        assert_learned_alike(tmp_path / "both" / name, tmp_path / "alone" / name)
        assert read_training(tmp_path / "both" / name).asked.processes == 2
    written = json.loads((tmp_path / "both" / "finals.json").read_text())
    assert written["best"] == both.best
