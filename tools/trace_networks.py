"""Write `latency_lut/networks.jsonl`: the operations of published networks of other families.

Latency models learn what an operation costs from every convolutional network that somebody timed
on the device, so the operations of those networks are kept as data. They are counted on the fused
network: batch norms folded, parallel branches merged. Run it again after adding a network:

    python tools/trace_networks.py

Networks come from timm; RepNeXt, which timm does not have, is listed from its description
(arXiv:2406.16004): chunked depthwise convolutions 3x3, 7x7, 1x11 + 11x1, and a copying downsample;
the path that led to RepViT is listed in `repvit_nas/search_space/path.py`.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import timm
import torch
from timm.utils.model import reparameterize_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from repvit_nas.counting import halved
from repvit_nas.latency_lut.published import Handed, Network, UnitCount
from repvit_nas.operations import Conv, Operation, Output, Pointwise, Pool
from repvit_nas.search_space.family import reference
from repvit_nas.search_space.path import networks as path
from repvit_nas.units import Downsample, Foreign, Head, Listed, Stem, rows, stage_sizes

TARGET = Path(__file__).parents[1] / "latency_lut" / "networks.jsonl"
ACTIVATIONS = {"relu", "relu_", "hardtanh", "hardtanh_", "gelu", "silu", "silu_"}


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operations of everything that runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket._qualified_op_name.split("::")[1]  # noqa: SLF001
        self.operations += _operations(name, args, out)
        return out


def _operations(name: str, args: tuple[Any, ...], out: Any) -> Iterator[Operation]:
    if name == "convolution":
        image, weight, groups = args[0], args[1], args[8]
        yield Conv(
            weight.shape[1] * groups,
            weight.shape[0],
            weight.shape[2] * weight.shape[3],
            groups,
            image.shape[2],
            out.shape[2],
        )
    elif name == "addmm":
        yield Conv(args[2].shape[0], args[2].shape[1], 1, 1, 1, 1)
    elif name == "mean":
        yield Pool(args[0].shape[1], args[0].shape[2])
    elif isinstance(out, torch.Tensor) and out.dim() == 4 and out.shape[2] > 1:
        if name in ACTIVATIONS:
            yield Pointwise("gelu" if name == "gelu" else "relu", out.shape[1], out.shape[2])
        elif name in ("add", "add_"):
            yield Pointwise("add", out.shape[1], out.shape[2])
        elif name in ("mul", "mul_"):
            gate = min(args[0].shape[2], args[1].shape[2]) == 1
            yield Pointwise("scale" if gate else "add", out.shape[1], out.shape[2])


def trace(model: nn.Module, resolution: int) -> list[Operation]:
    """List the operations of `model` on one image."""
    with torch.no_grad(), Recorder() as recorder:
        model.eval()(torch.zeros(1, 3, resolution, resolution))
    return list(recorder.operations)


def from_timm(
    name: str, resolution: int, *, features: bool = False, **kwargs: Any
) -> list[Operation]:
    """List the operations of a timm network, with or without its classifier."""
    if features:
        kwargs |= {"num_classes": 0, "global_pool": ""}
    return trace(reparameterize_model(timm.create_model(name, **kwargs).eval()), resolution)


def gelu(*_: Any, **__: Any) -> nn.Module:
    """Stand in for an activation layer of any signature."""
    return nn.GELU()


def repnext(
    width: tuple[int, ...],
    depth: tuple[int, ...],
    resolution: int,
    *,
    features: bool = False,
    single: bool = False,
) -> Iterator[Operation]:
    """List the operations of a fused RepNeXt; `single` is its one-branch form (M0E to M2E)."""
    sizes = stage_sizes(resolution)
    yield from Stem(width[0], resolution).operations
    for stage, (channels, size) in enumerate(zip(width, sizes, strict=True)):
        if stage:
            before = width[stage - 1]
            sides = (sizes[stage - 1], halved(sizes[stage - 1]))
            if single:
                yield Conv(before, channels, 49, before, *sides)
            else:
                yield Conv(before, before, 9, before, *sides)
                yield Conv(before, before, 49, before, *sides)
            yield from _ffn(channels, size)
        for _ in range(depth[stage]):
            if single:
                yield Conv(channels, channels, 121, channels, size, size)
            else:
                quarter = channels // 4
                for taps in (9, 49, 11, 11):
                    yield Conv(quarter, quarter, taps, quarter, size, size)
            yield from _ffn(channels, size)
    if features:
        for channels, size in zip(width, sizes, strict=True):
            yield Output(channels, size)
    else:
        yield Pool(width[-1], sizes[-1])
        yield Conv(width[-1], 1000, 1, 1, 1, 1)


def _ffn(channels: int, size: int) -> tuple[Operation, ...]:
    return (
        Conv(channels, 2 * channels, 1, 1, size, size),
        Pointwise("gelu", 2 * channels, size),
        Conv(2 * channels, channels, 1, 1, size, size),
        Pointwise("add", channels, size),
    )


REPNEXT = {
    "repnext_m0": ((40, 80, 160, 320), (2, 2, 9, 1)),
    "repnext_m1": ((48, 96, 192, 384), (3, 3, 15, 2)),
    "repnext_m2": ((56, 112, 224, 448), (3, 3, 15, 2)),
    "repnext_m3": ((64, 128, 256, 512), (3, 3, 13, 2)),
    "repnext_m4": ((64, 128, 256, 512), (5, 5, 25, 4)),
    "repnext_m5": ((80, 160, 320, 640), (7, 7, 35, 2)),
}
LOGITS: dict[str, tuple[str, int]] = {
    **{f"mobileone_s{i}": ("mobileone", 224) for i in range(5)},
    **{f"fastvit_{name}": ("fastvit", 256) for name in ("t8", "t12", "s12")},
    **{f"repvgg_{name}": ("repvgg", 224) for name in ("a0", "a1", "a2", "b0", "b1")},
    "mobilenetv1_100": ("mobilenet", 224),
    "mobilenetv2_100": ("mobilenet", 224),
    "mobilenetv2_140": ("mobilenet", 224),
    "semnasnet_100": ("mobilenet", 224),
    "mobilenetv4_conv_small": ("mobilenetv4", 224),
    "mobilenetv4_conv_medium": ("mobilenetv4", 256),
    "mobilenetv4_conv_large": ("mobilenetv4", 384),
    **{f"resnet{depth}": ("resnet", 224) for depth in (18, 50, 101, 152)},
    **{f"starnet_s{i}": ("starnet", 224) for i in (1, 2, 3, 4)},
    "tinynet_d": ("tinynet", 152),
    "tinynet_e": ("tinynet", 106),
}


def networks() -> Iterator[tuple[str, str, int, Handed, Callable[[], list[Operation]]]]:
    """Yield name, family, resolution, output and the function that lists the operations."""
    for name, (width, depth) in REPNEXT.items():
        yield name, "repnext", 224, "logits", lambda w=width, d=depth: list(repnext(w, d, 224))  # type: ignore[misc]
        yield (
            name,
            "repnext",
            512,
            "features",
            lambda w=width, d=depth: list(repnext(w, d, 512, features=True)),  # type: ignore[misc]
        )
    for index in range(3):
        width, depth = REPNEXT[f"repnext_m{index}"]
        yield (
            f"repnext_m{index}e",
            "repnext",
            224,
            "logits",
            lambda w=width, d=depth: list(repnext(w, d, 224, single=True)),  # type: ignore[misc]
        )
    for name, (family, resolution) in LOGITS.items():
        yield name, family, resolution, "logits", lambda n=name, r=resolution: from_timm(n, r)  # type: ignore[misc]
    yield (
        "mobilenetv3_large_100_gelu",
        "mobilenet",
        224,
        "logits",
        lambda: from_timm("mobilenetv3_large_100", 224, act_layer=gelu),
    )
    for step in path().values():
        if step.units != rows(reference("repvit_m0_9").architecture):
            yield step.name, "path", 224, "logits", lambda told=step: listed(told)  # type: ignore[misc]
    yield "repvit_m2_3_sam", "repvit", 1024, "map", lambda: list(repvit_sam(1024))
    resnets: tuple[tuple[int, Handed], ...] = ((18, "features"), (50, "map"), (101, "map"))
    for depth_, output in resnets:
        yield (
            f"resnet{depth_}",
            "resnet",
            512,
            output,
            lambda d=depth_, o=output: _resnet(d, o),  # type: ignore[misc]
        )


def listed(network: Listed) -> list[Operation]:
    """Return the operations of a network that is told by its units."""
    return [operation for unit in network.units for operation in unit.operations]


def repvit_sam(resolution: int) -> Iterator[Operation]:
    """List the operations of RepViT-SAM's image encoder.

    RepViT-M2.3 whose last downsample keeps stride 16, and SAM's neck (1x1 and 3x3 convolution to
    256 channels) instead of the classifier (THU-MIG/RepViT@298f420 sam/).
    """
    architecture = reference("repvit_m2_3").architecture
    side = stage_sizes(resolution)[2]
    resized = {stage_sizes(resolution)[3]: side}
    for unit in rows(msgspec.structs.replace(architecture, resolution=resolution)):
        if isinstance(unit, Head):
            continue
        if isinstance(unit, Downsample) and unit.size == side:
            yield Conv(unit.c_in, unit.c_in, 9, unit.c_in, side, side)
            yield Conv(unit.c_in, unit.c_out, 1, 1, side, side)
        elif isinstance(unit, Stem):
            yield from unit.operations
        else:
            same = msgspec.structs.replace(unit, size=resized.get(unit.size, unit.size))  # type: ignore[union-attr]
            yield from same.operations
    width = architecture.stages[3].width
    yield Conv(width, 256, 1, 1, side, side)
    yield Conv(256, 256, 9, 1, side, side)


def _resnet(depth: int, output: str) -> list[Operation]:
    maps = [
        Output(width, size)
        for width, size in zip((64, 128, 256, 512), stage_sizes(512), strict=True)
    ]
    return from_timm(f"resnet{depth}", 512, features=True) + (maps if output == "features" else [])


def main() -> None:
    """Write the file, one network a line."""
    warnings.filterwarnings("ignore")
    lines = []
    for name, family, resolution, output, operations in networks():
        counted = Counter(Foreign(operation) for operation in operations())
        units = tuple(UnitCount(unit, count) for unit, count in counted.items())
        network = Network(
            name=name,
            family=family,
            resolution=resolution,
            output=output,
            units=units,
        )
        lines.append(msgspec.json.encode(network))
        print(
            f"{network.name:28} {resolution:4} {output:8} {sum(u.count for u in units)} operations"
        )
    TARGET.write_bytes(b"\n".join(lines) + b"\n")


if __name__ == "__main__":
    main()
