"""Runners: one file a runtime; each loads programs and times their calls."""

import importlib
import importlib.util
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.protocol import Calls
from repvit_nas.programs import Program
from repvit_nas.units import Unit


class Runner(Protocol):
    """What a runtime must be able to do; the contract is tested for every runner.

    Attributes:
        on_caches: Whether programs run from this processor's caches, where calls find what earlier ones
            left, as by ONNX Runtime's own provider and by torch on the CPU.
    """

    on_caches: bool

    def circumstances(self) -> dict[str, str]:
        """Return runtime, versions, precision, threads and batch: what latencies depend on."""
        ...

    def prepare(self, unit: Unit) -> None:
        """Make and check whatever a unit needs before it can be timed; done once for each unit."""
        ...

    def load(self, program: Program) -> AbstractContextManager[Calls]:
        """Load a program; inside the context it can be called and timed.

        The function it gives runs the program so many times and returns the milliseconds of each
        call, for one image.
        """
        ...


class _Runtime(NamedTuple):
    module: str
    needs: tuple[str, ...]
    extra: str


RUNTIMES: Final = {
    "onnxruntime": _Runtime("onnxruntime", ("onnx", "onnxruntime", "onnxscript"), "onnx"),
    "torch": _Runtime("torch", ("torch",), ""),
}


def open_runner(spec: RuntimeSpec) -> Runner:
    """Return the runner that `spec` asks for.

    Raises:
        UnknownNameError: There is no such runtime.
        RepvitNasError: The runtime is not installed, or cannot do what is asked here.
    """
    if spec.name not in RUNTIMES:
        raise UnknownNameError.of("runtime", spec.name, list(RUNTIMES))
    runtime = RUNTIMES[spec.name]
    missing = [name for name in runtime.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise RepvitNasError(
            f"runtime {spec.name!r} needs {', '.join(missing)}, not installed here: "
            f"pip install 'repvit-nas[{runtime.extra}]'"
        )
    if spec.threads < 0 or spec.batch < 1:
        raise RepvitNasError(
            f"--threads must be 0 or more and --batch 1 or more; got {spec.threads} and {spec.batch}"
        )
    module = importlib.import_module(f"repvit_nas.measuring.runners.{runtime.module}")
    runner: Runner = module.make(spec)
    return runner
