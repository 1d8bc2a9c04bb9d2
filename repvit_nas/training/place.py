"""On what a run is computed: a device, its precision, and the processes that share the work."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.loading import World
from repvit_nas.training.records import Precision

# What the libraries that join processes say when one does not answer any more.
_LOST: Final = re.compile(
    r"gloo|nccl|connection (closed|reset|refused)|closed by (remote )?peer|broken pipe|socket timeout",
    re.IGNORECASE,
)
_QUOTED: Final = 200


class Place(NamedTuple):
    """On what a run is computed.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        workers: Processes that read images; None for a number that suits the device.
        channels_last: Keep the channels of a pixel together; None where the device likes it.
        compiled: Let torch compile the network.
        save_every: Updates between two checkpoints, besides those at the end of each epoch.
        tensorboard: Write a log for TensorBoard as well.
        cache: Where a teacher's maps are kept; empty for the run's folder.
    """

    device: str = "auto"
    workers: int | None = None
    channels_last: bool | None = None
    compiled: bool = False
    save_every: int = 0
    tensorboard: bool = False
    cache: str = ""


def device_kind(name: str) -> str:
    """Return the kind of device that `name` means, without touching one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def find_device(name: str) -> torch.device:
    """Return the device that `name` means.

    Raises:
        RepvitNasError: There is none of that name here.
    """
    name = device_kind(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = " ".join(str(error).split())[:120]
        raise RepvitNasError(f"--device {name}: is not here: {said}") from error
    return device


def find_precision(name: str, device: str) -> Precision:
    """Return in which numbers a network is computed; `auto` is what the device is good at.

    Raises:
        RepvitNasError: There are no such numbers.
    """
    match name:
        case "auto":
            if not device_kind(device).startswith("cuda"):
                return "fp32"
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        case "off" | "fp32":
            return "fp32"
        case "bf16":
            return "bf16"
        case "fp16":
            return "fp16"
        case _:
            raise RepvitNasError(f"--amp must be auto, bf16, fp16 or off; got {name!r}")


def world_size() -> int:
    """Return how many processes torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def processes(name: str) -> Iterator[tuple[torch.device, World]]:
    """Join the other processes, where torchrun has started some."""
    if world_size() == 1:
        yield find_device(name), World()
        return
    from timm.utils.distributed import init_distributed_device_so

    wanted = device_kind(name)
    joined = init_distributed_device_so(device=wanted)
    try:
        yield (
            torch.device(joined["device"]),
            World(joined["global_rank"], joined["world_size"]),
        )
    except RuntimeError as error:
        if not _of_a_lost_process(error):
            raise
        said = " ".join(str(error).split())[:_QUOTED]
        raise RepvitNasError(
            "another process of this training is gone: see what it said; go on from the last checkpoint "
            f"with the same command and --resume ({said})"
        ) from error
    finally:
        torch.distributed.destroy_process_group()


def _of_a_lost_process(error: RuntimeError) -> bool:
    """Return whether an error is that of a process whose partner does not answer any more."""
    return isinstance(error, torch.distributed.DistError) or _LOST.search(str(error)) is not None


def reading_workers(wanted: int | None, device: torch.device, world: World) -> int:
    """Return how many processes read images, where `wanted` does not say: as suits the device."""
    if wanted is not None:
        return wanted
    # A processor that trains has no time to spare; an accelerator waits for its images.
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world.processes))
    return 0 if device.type == "cpu" else min(8, max(1, (os.cpu_count() or 1) // local))
