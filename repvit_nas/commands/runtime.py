"""What the commands that time something share: which runtime, and how long."""

import difflib
from typing import TYPE_CHECKING, Final

import click

from repvit_nas.commands.options import Decorator, grouped, refuse_idle
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.latency_lut.device import RuntimeSpec

DEFAULT_RUNTIME: Final = "onnxruntime"

runtime_options: Decorator = grouped(
    click.option("--runtime", metavar="onnxruntime|torch", help="What runs the programs."),
    click.option("--threads", type=int, default=1, show_default=True, help="Threads; 0 for all."),
    click.option(
        "--providers", default="", metavar="NAME,...", help="onnxruntime's execution providers."
    ),
    click.option("--torch-device", default="", metavar="cpu|cuda|mps", help="torch's device."),
    click.option("--batch", type=int, default=1, show_default=True, help="Images in one call."),
    click.option("--compile", "compiled", is_flag=True, help="Let torch compile the programs."),
)

# What `runtime_spec` takes of them.
RUNTIME: Final = ("runtime", "threads", "providers", "torch_device", "batch", "compiled")

# By the names that the commands give them. Core ML runs one image in its own threads, and the devices
# that it times have their names in the table of products.
_NOT_FOR_CORE_ML: Final = frozenset({*RUNTIME, "title"})
_ONLY_FOR_PHONES: Final = frozenset({"team", "udid"})
_ONLY_FOR_CORE_ML: Final = _ONLY_FOR_PHONES | {"any_placement"}
# An export times nothing.
_NOT_FOR_EXPORT: Final = _ONLY_FOR_CORE_ML | {"minutes", "precision"}


def runtime_spec(
    device: str,
    *,
    runtime: str | None,
    threads: int,
    providers: str,
    torch_device: str,
    batch: int,
    compiled: bool,
) -> "RuntimeSpec":
    """Return what the options ask for.

    Raises:
        RepvitNasError: They contradict each other, or a device whose name does not say cpu was
            given no runtime.
    """
    from repvit_nas.coreml.products import products
    from repvit_nas.latency_lut.device import RuntimeSpec

    if runtime is None:
        if not device.startswith("cpu"):
            near = difflib.get_close_matches(device, list(products()), n=1)
            meant = f"; if {near[0]} was meant, give that" if near else ""
            raise RepvitNasError(
                f"device {device!r} is new: say what times it with --runtime onnxruntime or --runtime "
                f"torch (only names that begin with cpu take onnxruntime by themselves){meant}"
            )
        runtime = DEFAULT_RUNTIME
    if providers and torch_device:
        raise RepvitNasError("give --providers (onnxruntime) or --torch-device (torch), not both")
    if (torch_device and runtime != "torch") or (providers and runtime != "onnxruntime"):
        raise RepvitNasError(
            f"--runtime {runtime} does not take "
            f"{'--torch-device' if torch_device else '--providers'}"
        )
    return RuntimeSpec(runtime, threads, torch_device or providers, batch, compiled)


def check_options(device: str, *, core_ml: bool, exporting: bool = False) -> None:
    """Raise if the command line gives options that would do nothing for a device.

    Args:
        device: The device's name.
        core_ml: Whether Core ML times it.
        exporting: Whether its programs are only written.

    Raises:
        click.UsageError: It gives some.
    """
    from repvit_nas.coreml.products import product

    known = product(device)
    what = f"{device!r} is {'' if core_ml else 'not '}timed by Core ML"
    idle = _NOT_FOR_CORE_ML if core_ml else _ONLY_FOR_CORE_ML
    if core_ml and known is not None and known.is_mac:
        what, idle = f"{device!r} is a Mac, timed by its own Core ML", idle | _ONLY_FOR_PHONES
    if exporting:
        what, idle = "--export times nothing", idle | _NOT_FOR_EXPORT
    refuse_idle(what, idle)


def check_minutes(minutes: float) -> None:
    """Raise unless `minutes` is a time.

    Raises:
        RepvitNasError: It is not.
    """
    if not 0 < minutes < 10_000:
        raise RepvitNasError(f"--minutes must be above 0 and below 10,000; got {minutes}")
