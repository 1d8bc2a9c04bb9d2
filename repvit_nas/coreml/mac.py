"""The Mac that this runs on, as a Core ML device: coremltools itself loads, times and asks for plans.

No app, no cable and no Xcode are needed. A call's milliseconds are those that coremltools reads around
Core ML's own prediction, so Python's part of a call is not in them.
"""

import functools
import importlib.util
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.conversion.converter import REQUIRED, coremltools, installed_version, too_old
from repvit_nas.conversion.package import INPUT
from repvit_nas.coreml.findings import Condition
from repvit_nas.coreml.place import LoadedProgram, RefusedError
from repvit_nas.coreml.products import ANY_MAC, Product, products
from repvit_nas.errors import RepvitNasError

# The first system that tells where operations run.
OLDEST_MACOS: Final = (14, 4)
# How the runtime is called that times this Mac.
RUN_HERE: Final = "coreml in process"
_FUNCTION: Final = "main"
_NS_PER_MS: Final = 1e6
_ASK_S: Final = 20.0
# What coremltools calls the processors, and what compute plans read from phones call them.
_PROCESSORS: Final = {
    "MLNeuralEngineComputeDevice": "neuralEngine",
    "MLGPUComputeDevice": "gpu",
    "MLCPUComputeDevice": "cpu",
}
_QUESTIONS: Final = {
    "model": ["sysctl", "-n", "hw.model"],
    "chip": ["sysctl", "-n", "machdep.cpu.brand_string"],
    "version": ["sw_vers", "-productVersion"],
    "build": ["sw_vers", "-buildVersion"],
}

Ask = Callable[[list[str]], str]


class Mac(NamedTuple):
    """A Mac.

    Attributes:
        model: Apple's identifier of the model, such as `Mac14,2`.
        chip: Its processor.
        version: The version of macOS.
        build: The build of that.
    """

    model: str
    chip: str
    version: str
    build: str


def find_mac() -> Mac | None:
    """Return the Mac that this runs on; None on other machines.

    Raises:
        RepvitNasError: It does not say what it is.
    """
    return this_mac(_asked) if sys.platform == "darwin" else None


def this_mac(ask: Ask) -> Mac:
    """Return what a Mac says of itself.

    Args:
        ask: Runs a command and returns what it printed.

    Raises:
        RepvitNasError: It does not say.
    """
    return Mac(**{field: ask(words).strip() for field, words in _QUESTIONS.items()})


def _asked(words: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            words, capture_output=True, text=True, timeout=_ASK_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RepvitNasError(
            f"{' '.join(words)}: must say what this Mac is; got {error}; see that /usr/sbin and "
            "/usr/bin are on the path"
        ) from error
    return done.stdout


def core_ml() -> Any:
    """Return coremltools."""
    return coremltools()


def loads_models() -> bool:
    """Return whether the installed coremltools can load models: it is a build for this Mac."""
    found = importlib.util.find_spec("coremltools")
    folders = (found.submodule_search_locations or ()) if found else ()
    # Asking for the part by its name would import all of coremltools.
    return any(True for folder in folders for _ in Path(folder).glob("libcoremlpython*"))


def examine_mac(product: Product, mac: Mac, *, loads: bool | None = None) -> list[Condition]:
    """Look at everything that measuring a Mac needs.

    Args:
        product: The device's name stands for it.
        mac: The Mac that this runs on.
        loads: Whether coremltools can load models; by default it is looked at.
    """
    fits = product.product_type in (ANY_MAC, mac.model)
    known = next((row.device for row in products().values() if row.product_type == mac.model), "")
    model = Condition(
        "Mac",
        fine=fits,
        said=f"{mac.model}, {mac.chip}"
        if fits
        else f"this is a {mac.model}, and {product.device!r} is a {product.product_type}; give "
        f"--device mac{f' or --device {known}' if known else ''}",
    )
    engine = mac.chip.startswith("Apple")
    chip = Condition(
        "Neural Engine",
        fine=engine,
        said=f"part of {mac.chip}"
        if engine
        else f"{mac.chip or 'this processor'} has none: only Macs with Apple silicon can be measured",
    )
    numbers = tuple(int(part) for part in re.findall(r"\d+", mac.version)[:2])
    oldest = ".".join(map(str, OLDEST_MACOS))
    fresh = numbers >= OLDEST_MACOS
    system = Condition(
        "macOS",
        fine=fresh,
        said=f"{mac.version} ({mac.build})"
        if fresh
        else f"{mac.version or 'an unknown version'}: {oldest} or newer is needed to see where "
        "operations run; update it",
    )
    can = loads_models() if loads is None else loads
    lacking = (
        too_old(installed_version())
        if can
        else "cannot load models: install it for this Mac, into a Python for "
        f"{platform.machine() or 'arm64'} of python.org or Homebrew, with pip install "
        f"--force-reinstall '{REQUIRED}'"
    )
    tools = Condition("coremltools", fine=not lacking, said=lacking or "loads models here")
    hand = Condition(
        "to check by hand",
        fine=None,
        said="on mains power, Low Power Mode off, cool, no other program busy",
    )
    return [model, chip, system, tools, hand]


class OnMac:
    """The Mac that this runs on, ready to run programs.

    Args:
        mac: What it is.
        tools: coremltools.
    """

    def __init__(self, mac: Mac, tools: Any) -> None:
        self._mac = mac
        self._tools = tools

    @property
    def model(self) -> str:
        """Apple's identifier of the model."""
        return self._mac.model

    @property
    def chip(self) -> str:
        """Its processor."""
        return self._mac.chip

    @property
    def which(self) -> str:
        """Nothing: there is one Mac here."""
        return ""

    @property
    def build(self) -> str:
        """The build of its system."""
        return self._mac.build

    @property
    def system(self) -> str:
        """Its system with version and build."""
        return f"macOS {self._mac.version} ({self._mac.build})"

    @property
    def runtime(self) -> str:
        """What runs the programs."""
        return f"{RUN_HERE}, coremltools {self._tools.__version__}"

    def compiled(self, package: Path) -> Path:
        """Return the package: Core ML compiles it as it is loaded."""
        return package

    def load(self, compiled: Path) -> LoadedProgram:
        """Load a package.

        Raises:
            RepvitNasError: Core ML refuses it.
        """
        return _LoadedHere(self._tools, compiled)

    def stop(self) -> None:
        """Nothing is left behind: a program ends with its unloading."""


class _LoadedHere:
    def __init__(self, tools: Any, package: Path) -> None:
        self._tools = tools
        self._units = tools.ComputeUnit.CPU_AND_NE
        self._name = package.name
        # coremltools only warns where Core ML refuses a model, and fails later without the reason.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                self._model: Any = tools.models.MLModel(str(package), compute_units=self._units)
            except Exception as error:
                raise RefusedError(
                    f"Core ML cannot load {package}: {_in_one_line(error)}"
                ) from error
        refused = [str(item.message) for item in said if "predict()" in str(item.message)]
        if refused:
            raise RefusedError(f"Core ML refused {package}: {refused[0]}")

    def plan(self) -> list[tuple[str, str, float | None]]:
        """Return name, preferred processor and cost of each operation.

        Raises:
            RepvitNasError: Core ML does not tell. The program is loaded, so that is no refusal of it.
        """
        try:
            found = self._tools.models.compute_plan.MLComputePlan.load_from_path(
                path=self._model.get_compiled_model_path(), compute_units=self._units
            )
        except Exception as error:
            raise RepvitNasError(
                f"{self._name}: Core ML must tell where its operations run; got "
                f"{_in_one_line(error)}: repeat the command, which goes on from there, and if it stops "
                "there again, see repvit-nas doctor --device mac"
            ) from error
        program = found.model_structure.program
        if program is None or _FUNCTION not in program.functions:
            raise RepvitNasError(
                f"{self._name}: Core ML's compute plan must hold the program's function "
                f"{_FUNCTION!r}; coremltools 9 is known to tell it"
            )
        listed = []
        for operation in program.functions[_FUNCTION].block.operations:
            usage = found.get_compute_device_usage_for_mlprogram_operation(operation)
            cost = found.get_estimated_cost_for_mlprogram_operation(operation)
            where = "unknown" if usage is None else type(usage.preferred_compute_device).__name__
            listed.append(
                (
                    str(operation.outputs[0].name),
                    _PROCESSORS.get(where, where),
                    None if cost is None else float(cost.weight),
                )
            )
        return listed

    def predict(
        self, shape: Sequence[int], *, warm_up: int, calls: int
    ) -> tuple[list[float], bool]:
        """Run it in one loop; return milliseconds of the timed calls.

        Raises:
            RefusedError: Core ML loads it, but does not run it.
            RepvitNasError: It is not said how long a call took.
        """
        taken = {INPUT: _image(tuple(shape))}
        for _ in range(warm_up):
            self._run(taken)
        series = []
        for _ in range(calls):
            self._run(taken)
            series.append(self._milliseconds(self._model.last_predict_duration_in_nano_seconds))
        return series, True

    def _run(self, taken: dict[str, npt.NDArray[np.float32]]) -> None:
        try:
            self._model.predict(taken)
        except Exception as error:
            raise RefusedError(f"Core ML cannot run {self._name}: {_in_one_line(error)}") from error

    def _milliseconds(self, nanoseconds: Any) -> float:
        if not isinstance(nanoseconds, int | float) or not 0 < nanoseconds < float("inf"):
            raise RepvitNasError(
                f"{self._name}: coremltools must say how long a prediction took, in nanoseconds above "
                f"0; got {nanoseconds!r}: coremltools 9 is known to say it"
            )
        return nanoseconds / _NS_PER_MS

    def unload(self) -> None:
        """Let the model go; Core ML removes what it compiled with it."""
        self._model = None


def _in_one_line(error: Exception) -> str:
    """Return what an error of Core ML says, whose text may have several lines or none."""
    return " ".join(str(error).split()) or type(error).__name__


@functools.lru_cache(maxsize=16)
def _image(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return a random input, exact in half precision.

    It is single precision because coremltools would copy half precision into that in every call.
    """
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return drawn.astype(np.float16).astype(np.float32)
