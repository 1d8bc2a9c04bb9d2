"""The path from MobileNetV3-L to RepViT: networks against what others count, figures against the paper."""

from collections import Counter

import pytest
import timm

from repvit_nas import load, reparameterize
from repvit_nas.errors import FileError, UnknownNameError
from repvit_nas.files import read_toml
from repvit_nas.latency_lut.published import foreign_networks
from repvit_nas.search_space.family import family
from repvit_nas.search_space.path import (
    PathFile,
    networks,
    path,
    path_network,
    published_step,
)
from repvit_nas.units import Block, Downsample, GatedDownsample, Inverted, WideHead, rows

# arXiv:2307.09283v8, Fig. 2 and section 3; of step 2 none is given.
TOP1 = {
    "0": 71.5,
    "1": 68.3,
    "2": None,
    "3": 73.5,
    "3b": 73.0,
    "4": 73.9,
    "5": 75.4,
    "6": 74.8,
    "7": 76.9,
    "8": 76.9,
    "9": 77.4,
}
# Of the paper: 3.1 where it starts, 3.2 the block, 3.3 stages and what is around them, 3.4 kernels and SE.
SECTIONS = {
    "0": "3.1",
    "1": "3.2",
    "2": "3.2",
    "3": "3.2",
    "3b": "3.2",
    "4": "3.3",
    "5": "3.3",
    "6": "3.3",
    "7": "3.3",
    "8": "3.4",
    "9": "3.4",
}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_first_network_has_the_counts_of_mobilenetv3_l():
    network = path_network("0")
    theirs = timm.create_model("mobilenetv3_large_100")

    assert parameters(load("path:0")) == parameters(theirs) == 5_483_032
    # d-li14/mobilenetv3.pytorch prints 216.60 million.
    assert sum(unit.macs for unit in network.units) == pytest.approx(216.6e6, rel=1e-3)
    assert [unit.kernel for unit in network.units if isinstance(unit, Inverted)] == [
        *[3] * 3, *[5] * 3, *[3] * 6, *[5] * 3
    ]  # fmt: skip
    assert [unit.hidden for unit in network.units if isinstance(unit, Inverted)] == [
        *(16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960)
    ]


def test_the_last_network_is_m0_9():
    assert path_network("9").units == rows(family()["repvit_m0_9"].architecture)
    # The parameters in training with one head are holocron's.
    assert parameters(load("path:9")) == 5_103_560


@pytest.mark.parametrize("step", [step for step in TOP1 if step != "9"])
def test_a_step_has_the_operations_that_its_latency_was_validated_with(step):
    network = path_network(step)
    listed = foreign_networks()[network.name, 224, "logits"]

    assert Counter(op for unit in network.units for op in unit.operations) == {
        item.unit.operation: item.count for item in listed.units
    }


@pytest.mark.parametrize("step", list(TOP1))
def test_a_step_fused_has_the_parameters_of_the_closed_form(step):
    fused = reparameterize(load(f"path:{step}"))

    assert parameters(fused) == sum(unit.params for unit in path_network(step).units)


def test_published_accuracies_are_the_papers_and_say_where():
    assert {step: told.top1 for step, told in path().items()} == TOP1
    assert {step: told.reference[:11] for step, told in path().items()} == {
        step: f"section {section}" for step, section in SECTIONS.items()
    }
    assert {told.network for told in path().values()} == {
        *(network.name for step, network in networks().items() if step != "9"),
        "repvit_m0_9",
    }


def test_each_step_changes_what_it_says():
    def kinds(step):
        return Counter(type(unit) for unit in path_network(step).units)

    assert kinds("0")[Inverted] == 15
    assert kinds("1")[Inverted] == kinds("3")[Inverted] == 2  # the first two rows stay
    assert kinds("4")[Inverted] == 0
    assert kinds("4")[WideHead] == 1
    assert kinds("6")[WideHead] == 0
    # Stages 2 and 4 of MobileNetV3 open with SE, stage 3 does not.
    assert (kinds("5")[GatedDownsample], kinds("5")[Downsample]) == (2, 1)
    blocks = [unit for unit in path_network("7").units if isinstance(unit, Block)]
    assert len(blocks) == 2 + 2 + 14 + 2 + 3
    assert {unit.kernel for unit in path_network("7").units if isinstance(unit, Block)} == {3, 5}
    assert {unit.kernel for unit in path_network("8").units if isinstance(unit, Block)} == {3}


def test_what_was_published_of_a_network_is_found_by_its_units():
    assert published_step(path_network("4")).top1 == 73.9
    small = path_network("4")
    assert (
        published_step(type(small)(units=(*small.units[:-1], path_network("3").units[-1])))
        is path()["4"]
    )


def test_an_unknown_step_is_refused():
    with pytest.raises(UnknownNameError, match=r"step of the path '10' is not known.*3b"):
        path_network("10")


def test_a_file_of_other_steps_is_refused(tmp_path):
    (tmp_path / "path.toml").write_text("schema = 1\nsteps = []\n")

    with pytest.raises(FileError, match="steps must be 0, 1, 2, 3, 3b"):
        read_toml(tmp_path / "path.toml", PathFile)
