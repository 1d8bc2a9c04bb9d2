"""torch itself: on the CPU, on CUDA (timed by its events) and on Apple's mps."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any, Final, cast

import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.protocol import Calls
from repvit_nas.network.pieces import Chain, fused_module, input_shape, random_weights
from repvit_nas.programs import Program
from repvit_nas.units import Unit, tapped

_NS_PER_MS: Final = 1e6
_TYPES: Final = ("cpu", "cuda", "mps")


class TorchRunner:
    """Times programs in torch, eager or compiled."""

    def __init__(self, spec: RuntimeSpec, device: torch.device) -> None:
        self._spec = spec
        self._device = device
        self.on_caches = device.type == "cpu"
        self._generator = torch.Generator().manual_seed(0)

    def circumstances(self) -> dict[str, str]:
        """Return runtime, versions, precision, threads and batch."""
        return {
            "runtime": f"torch {torch.__version__.partition('+')[0]}",
            "accelerator": _accelerator(self._device),
            "compiled": str(self._spec.compiled).lower(),
            "threads": str(self._spec.threads),
            "precision": "fp32",
            "batch": str(self._spec.batch),
        }

    def prepare(self, unit: Unit) -> None:
        """Nothing is exported, so nothing has to be checked."""

    @contextmanager
    def load(self, program: Program) -> Iterator[Calls]:
        """Load a program."""
        seeds = itertools.count(1)
        units, places = tapped(program.sequence)
        modules = [fused_module(unit, random_weights(unit, next(seeds))) for unit in units]
        model: Callable[[torch.Tensor], Any] = Chain(modules, places).to(self._device)
        shape = (self._spec.batch, *input_shape(program.sequence[0]))
        image = torch.randn(shape, generator=self._generator).to(self._device)
        if self._spec.compiled:
            model = torch.compile(model)
        threads = torch.get_num_threads()
        if self._spec.threads:
            torch.set_num_threads(self._spec.threads)
        timed = _cuda_ms if self._device.type == "cuda" else _wall_ms
        batch = self._spec.batch

        def calls(count: int) -> list[float]:
            with torch.inference_mode():
                return [timed(model, image, self._device) / batch for _ in range(count)]

        try:
            yield calls
        finally:
            torch.set_num_threads(threads)
            if self._spec.compiled:
                torch.compiler.reset()


def make(spec: RuntimeSpec) -> TorchRunner:
    """Return a runner.

    Raises:
        RepvitNasError: The torch device is not known or not here.
    """
    name = spec.target or _best()
    try:
        device = torch.device(name)
        # Other kinds of device, such as `meta`, compute nothing that could be timed.
        torch.zeros(1, device=device if device.type in _TYPES else "none")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu"] + [kind for kind in ("cuda", "mps") if _offered(kind)]
        raise RepvitNasError(
            f"--torch-device {name!r} is not here; this torch offers: {', '.join(here)}"
        ) from error
    return TorchRunner(spec, device)


def _best() -> str:
    return next((kind for kind in ("cuda", "mps") if _offered(kind)), "cpu")


def _offered(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    return torch.backends.mps.is_available()


def _accelerator(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def _wall_ms(
    model: Callable[[torch.Tensor], Any], image: torch.Tensor, device: torch.device
) -> float:
    start = perf_counter_ns()
    model(image)
    if device.type == "mps":
        torch.mps.synchronize()
    return (perf_counter_ns() - start) / _NS_PER_MS


def _cuda_ms(
    model: Callable[[torch.Tensor], Any], image: torch.Tensor, device: torch.device
) -> float:
    """Time one call by CUDA events; the queue is empty before and after."""
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        model(image)
        end.record()
        end.synchronize()
        return cast("float", start.elapsed_time(end))
