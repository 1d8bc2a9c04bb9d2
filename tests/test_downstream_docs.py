"""What docs/downstream.md says is run: losses fall, and fused detectors answer alike."""

import importlib.util
import re

import pytest
import torch
from support import ROOT
from torch import nn

import repvit_nas

PAGE = ROOT / "docs" / "downstream.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
NEEDS = re.compile(r"# needs (\w+)\n")


@pytest.fixture(scope="module")
def ran():
    """Run the page's code one block after the other, but for what needs a library that is not here."""
    torch.set_num_threads(1)
    names = {}
    for block in BLOCKS:
        needed = NEEDS.match(block)
        if needed is None or importlib.util.find_spec(needed[1]) is not None:
            exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_a_few_steps_make_the_losses_fall(ran):
    for name in ("detector_losses", "segmenter_losses"):
        assert ran[name][-1] < 0.9 * ran[name][0]


def test_the_fused_detector_answers_alike_and_has_no_batch_norm(ran):
    assert ran["fused_error"] < 1e-5
    assert len(ran["found"]) == 4
    assert {"boxes", "labels", "scores", "masks"} <= set(ran["found"][0])


def test_statistics_stay_frozen_while_scale_and_shift_learn(ran):
    fresh = repvit_nas.load("repvit_m0_6", output="features")
    trained = ran["detector"].backbone.body
    norms = [
        (one, two)
        for one, two in zip(fresh.modules(), trained.modules(), strict=True)
        if isinstance(one, nn.BatchNorm2d)
    ]

    assert all(torch.equal(one.running_mean, two.running_mean) for one, two in norms)
    assert any(not torch.equal(one.weight, two.weight) for one, two in norms)


def test_pictures_that_teach_nothing_are_said_in_one_line(ran):
    _, targets = ran["pictures"](3)
    without = [*targets[:2], targets[2] | {"boxes": torch.zeros(0, 4)}]
    beyond = torch.full((64, 64), 30)

    with pytest.raises(ValueError, match=r"^picture 2 has no box: leave it out$"):
        ran["check"](without, 25)
    with pytest.raises(ValueError, match=r"^picture 1 has class 2: of 2 classes the last is 1$"):
        ran["check"](targets, 2)
    with pytest.raises(ValueError, match="picture 7 has class 30: of 25 classes the last is 24"):
        ran["check_classes"](7, beyond, 25)


def test_taps_after_the_opening_block_are_its_output():
    before = repvit_nas.load("repvit_m0_6", output="features")
    after = repvit_nas.load("repvit_m0_6", output="features", taps="after")
    after.load_state_dict(before.state_dict())
    image = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        one, two = before(image), after(image)
        opened = before.stages[1].downsample.pre_block(one[0])

    assert torch.equal(two[0], opened)
    assert torch.equal(one[3], two[3])
    with pytest.raises(ValueError, match="taps must be 'before' or 'after'; got 'behind'"):
        repvit_nas.load("repvit_m0_6", output="features", taps="behind")
