"""What several tests share: how to draw architectures, and weights that are not trivial."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from repvit_nas.architecture import OUTPUTS, SAM_STEP, Architecture, Stage

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Have a folder on a disk that cannot be written: root heeds no mode, so that is mounted so."""
    if os.geteuid():
        modes = [(path, path.stat().st_mode) for path in (folder, *folder.rglob("*"))]
        for path, mode in modes:
            path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes:
                path.chmod(mode)
        return
    for options in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
        done = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("needs a user who is not root, or the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@st.composite
def stages(draw, *, max_width=64, max_depth=4, first=True):
    depth = draw(st.integers(1, max_depth))
    return Stage(
        width=8 * draw(st.integers(1, max_width // 8)),
        depth=depth,
        se=draw(st.text("01", min_size=depth, max_size=depth)),
        expansion=draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 3.0, 4.0])),
        kernel=draw(st.sampled_from([3, 5, 7])),
        downsample="deep" if first else draw(st.sampled_from(["deep", "deep", "plain"])),
    )


@st.composite
def architectures(
    draw, *, max_width=64, max_depth=4, resolutions=(32, 96), classes=(0, 20), outputs=False
):
    output = draw(st.sampled_from(OUTPUTS)) if outputs else "logits"
    step = SAM_STEP.get(output, 1)
    low, high = resolutions
    return Architecture(
        name=draw(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12)),
        resolution=step * draw(st.integers(-(-low // step), high // step)),
        num_classes=draw(st.integers(*classes)) if output == "logits" else 0,
        output=output,
        stages=tuple(
            draw(stages(max_width=max_width, max_depth=max_depth, first=not number))
            for number in range(4)
        ),
    )


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and weights that a wrong fusion would not survive."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            size = module.num_features
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(size, generator=generator))
                module.bias.copy_(0.1 * torch.randn(size, generator=generator))
                module.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
    return model


def official(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights under the names of the official code (THU-MIG/RepViT@298f420)."""
    state = model.state_dict()
    block = (
        ("token_mixer.", "token_mixer.0."),
        ("se.", "token_mixer.1."),
        ("channel_mixer.conv1.", "channel_mixer.m.0."),
        ("channel_mixer.conv2.", "channel_mixer.m.2."),
    )
    opening = (
        ("spatial_downsample.", "token_mixer.0."),
        ("channel_downsample.", "token_mixer.2."),
        ("ffn.conv1.", "channel_mixer.m.0."),
        ("ffn.conv2.", "channel_mixer.m.2."),
    )
    places = [("stem.", (("conv1.", "0."), ("conv2.", "2.")))]
    for index, stage in enumerate(model.stages):
        if index:
            places.append((f"stages.{index}.downsample.pre_block.", block))
            places.append((f"stages.{index}.downsample.", opening))
        places += [
            (f"stages.{index}.blocks.{number}.", block) for number in range(len(stage.blocks))
        ]
    named = {}
    for number, (place, parts) in enumerate(places):
        for ours, theirs in parts:
            for key, value in state.items():
                if key.startswith(place + ours):
                    named[f"features.{number}.{theirs}{key.removeprefix(place + ours)}"] = value
    for ours, theirs in (("head.head.", "classifier."), ("head.head_dist.", "classifier_dist.")):
        for key, value in state.items():
            if key.startswith(ours):
                named[f"classifier.{theirs}{key.removeprefix(ours)}"] = value
    return named


# A space of 2,304 networks, some with stages narrower than the space `repvit` has any.
NARROW = """
schema = 1
name = "narrow"
tied = ["se"]
stages = [
    {width = [24, 40, 64], depth = [1, 2], se = ["none", "alternate"], expansion = [2.0]},
    {width = [48, 80, 128], depth = [1, 2], se = ["none", "alternate"], expansion = [2.0]},
    {width = [160, 256], depth = [4, 8, 14, 16], se = ["none", "alternate"], expansion = [2.0]},
    {width = [320, 512], depth = [1, 2], se = ["none", "alternate"], expansion = [2.0]},
]
"""


def write_narrow(folder: Path) -> str:
    """Write the space file into `folder`; return its path."""
    path = folder / "narrow.toml"
    path.write_text(NARROW)
    return str(path)
