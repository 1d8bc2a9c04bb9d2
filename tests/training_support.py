"""A network that trains in seconds, a run of it, and a teacher of maps."""

import functools
import subprocess
import sys
import warnings

import msgspec
import torch
from safetensors.torch import load_file
from torch import nn

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.network import create
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec

TINY = DataSpec(name="shapes", train_images=96, val_images=24)
# Everything that has a state or draws random numbers.
EVERYTHING = {
    "epochs": 2,
    "batch": 8,
    "accumulate": 2,
    "mixup": 0.8,
    "cutmix": 1.0,
    "erasing": 0.5,
    "augment": "rand-m9-mstd0.5-inc1",
    "ema": 0.9,
    "repeats": 3,
    "step_on": "update",
    "warmup_epochs": 1,
}


def small(name="small", widths=(16, 24, 32, 48), depths=(1, 1, 2, 1), resolution=32):
    return Architecture(
        name=name,
        resolution=resolution,
        num_classes=10,
        stages=tuple(
            Stage(width=width, depth=depth, se=("10" * depth)[:depth], expansion=2.0)
            for width, depth in zip(widths, depths, strict=True)
        ),
    )


def drawn_network(seed):
    """A tiny network whose batch norms are as far apart as a training can leave them."""
    draw = torch.Generator().manual_seed(seed)
    normal = functools.partial(torch.randn, generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create(small())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                channels = module.num_features
                module.running_mean.copy_(normal(channels))
                module.running_var.copy_(torch.exp(2 * normal(channels)))
                module.weight.copy_(normal(channels))
                module.bias.copy_(normal(channels))
    return model


def small_asked(batch=16):
    """Return what a run of an epoch on few images is asked."""
    return Asked(
        architecture=msgspec.structs.replace(small(), num_classes=24),
        recipe=load_recipe("quick", {"epochs": 1, "lr": 0.02, "warmup_epochs": 0, "batch": batch}),
        data=DataSpec(name="shapes", train_images=96, val_images=48),
    )


def train_small(folder):
    """Leave a finished run on few images in `folder`."""
    torch.set_num_threads(1)
    train(small_asked(batch=64), folder)
    return folder


def map_network(channels=256):
    """Return a network that makes a map of 4x4 of an image of 64 px."""
    torch.manual_seed(3)
    layers = (nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.Conv2d(8, channels, 4, 4))
    return nn.Sequential(*layers).eval()


def scripted(folder, module=None):
    """Write such a network, or another, as a TorchScript file; return its path."""
    path = folder / "teacher.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of scripting
        torch.jit.trace(module or map_network(), torch.zeros(1, 3, 64, 64)).save(str(path))
    return str(path)


def torchrun(tmp_path, asked, *options, processes=2):
    """Train with several processes into `run`; return the finished process."""
    (tmp_path / "asked.json").write_bytes(msgspec.json.encode(asked))
    script = tmp_path / "both.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport msgspec, torch\n"
        "from repvit_nas.training.records import Asked\n"
        "from repvit_nas.training.place import Place\nfrom repvit_nas.training.run import train\n"
        "torch.set_num_threads(1)\n"
        f"asked = msgspec.json.decode(Path({str(tmp_path / 'asked.json')!r}).read_bytes(), type=Asked)\n"
        f"train(asked, Path({str(tmp_path / 'run')!r}), Place(device='cpu'))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *options]
    return subprocess.run(
        [*command, "--nproc-per-node", str(processes), script],
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_learned_alike(one, other):
    """Compare what two runs learned: they differ by the order in which single precision adds."""
    first, second = (load_file(each / "model.safetensors") for each in (one, other))
    for name in first:
        assert torch.allclose(first[name], second[name], rtol=1e-5, atol=1e-6), name
