"""What is known of a device: `latency_lut/<device>/device.json`."""

import os
import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import data, files
from repvit_nas.architecture import LOGITS, OutputKind
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.machine import processor
from repvit_nas.quantities import Count, Several
from repvit_nas.words import printable

DEVICE_FILE: Final = "device.json"
# The circumstances that belong to the table, not to the machine.
RESOLUTION: Final = "resolution"
OUTPUT: Final = "output"
CACHES: Final = "caches"
# What may differ between two runs on one device without making them different tables.
VOLATILE: Final = ("date", "frequency")
# The files whose figures a predictor is fitted to, as far as a device has them.
FIGURES: Final = ("table.json", "published.csv", "latencies.json")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


# What times a Core ML device, beside the runtimes that time a processor.
CORE_ML: Final = "coreml"
# How the circumstances of a Core ML device name it.
CORE_ML_STATED: Final = "Core ML"


class RuntimeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What runs the programs, as asked for on the command line.

    Attributes:
        name: `onnxruntime`, `torch` or `coreml`.
        threads: Threads of one operation; 0 leaves it to the runtime.
        target: torch's device, or onnxruntime's execution providers, comma-separated, in order.
        batch: Images in one call; latencies are those of the call divided by it.
        compiled: Whether torch compiles the program.
    """

    name: str
    threads: Count = 1
    target: str = ""
    batch: Several = 1
    compiled: bool = False

    @property
    def is_core_ml(self) -> bool:
        """Whether programs run on a Core ML device."""
        return self.name == CORE_ML


class DeviceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `device.json` (schema 1).

    Attributes:
        device: The device's name on the command line.
        title: The name people use.
        kind: `modelled` from latencies of whole networks, or `measured` here.
        circumstances: Hardware, operating system, runtime, precision, batch and statistic of the
            figures. Tables that differ in these (but for date and momentary frequency) are never
            merged.
        protocol: Version of the measuring protocol; none for a modelled device.
        runtime: What timed it; none for a modelled device.
        like: The device whose predictor its latencies shift and scale; empty where it has enough of
            its own, or assumptions of its own.
    """

    schema: Literal[1] = 1
    device: str
    title: str
    kind: Literal["modelled", "measured"]
    circumstances: dict[str, str]
    protocol: Several | None = None
    runtime: RuntimeSpec | None = None
    like: str = ""

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if self.kind == "measured" and (self.protocol is None or self.runtime is None):
            raise ValueError("a measured device must state `protocol` and `runtime`; got none")
        if self.like and (self.kind == "measured" or self.like == self.device):
            raise ValueError(
                f"`like` must name another device, of a modelled one; got {self.like!r}"
            )


class Device(msgspec.Struct, frozen=True):
    """A device's folder and what its `device.json` says."""

    folder: data.Found
    file: DeviceFile

    @property
    def name(self) -> str:
        """The device's name on the command line."""
        return self.file.device

    def path(self, name: str) -> Path:
        """Return the path of a file in the device's folder."""
        return self.folder.path / name

    def digest(self) -> str:
        """Return a digest of the figures that a predictor is fitted to."""
        there = [self.path(name) for name in FIGURES if self.path(name).is_file()]
        return files.digest(*(files.read_bytes(path) for path in there))

    def refuse_other_than_core_ml(self, what: str) -> None:
        """Raise unless the device, or the one that it is like, runs Core ML.

        Args:
            what: What only Core ML has.

        Raises:
            RepvitNasError: It runs something else.
        """
        if not self.runs_core_ml:
            stated = self.file.circumstances.get("runtime", "what it does not state")
            raise RepvitNasError(
                f"{what} is of Core ML, and device {self.name!r} runs {stated}: leave it out, or name a "
                "Core ML device such as iphone12"
            )

    @property
    def runs_core_ml(self) -> bool:
        """Whether the device, or the one that it is like, runs Core ML."""
        if self.file.like:
            return load_device(self.file.like).runs_core_ml
        if self.file.runtime:
            return self.file.runtime.is_core_ml
        return self.file.circumstances.get("runtime", "").startswith(CORE_ML_STATED)

    def refuse_foreign(self) -> None:
        """Raise if this is the processor of another machine.

        Raises:
            RepvitNasError: The figures are of another processor.
        """
        circumstances = self.file.circumstances
        if self.file.kind != "measured" or circumstances.get("accelerator", "cpu") != "cpu":
            return
        here, there = processor(), circumstances.get("processor", "")
        if here != there:
            raise RepvitNasError(
                f"device {self.name!r} was measured on {there}; this machine has {here}: measure it "
                "with repvit-nas measure-lut --device NAME, or accept the other's figures with "
                "--foreign"
            )


def device_names() -> list[str]:
    """List the devices there are."""
    return [
        name
        for name, found in sorted(data.listed("latency_lut").items())
        # Not the path's own, which raises where a folder cannot be looked into: another device's is no matter.
        if os.path.isfile(found.path / DEVICE_FILE)  # noqa: PTH113
    ]


def load_device(name: str) -> Device:
    """Load a device by name.

    Raises:
        UnknownNameError: There is no such device; the message lists those there are.
        FileError: Its file is not valid.
    """
    if name not in device_names():
        raise UnknownNameError.of("device", name, device_names())
    found = data.find("latency_lut", name, "device")
    return Device(found, read_device(found.path / DEVICE_FILE, name))


def read_device(path: Path, device: str) -> DeviceFile:
    """Read the `device.json` of a device.

    Raises:
        FileError: It is not valid, or another device's.
    """
    found = files.read_json(path, DeviceFile)
    check_device(path, found.device, device)
    return found


def check_device(path: Path, found: str, device: str) -> None:
    """Raise unless a file is of the device whose it is to be.

    Args:
        path: The file.
        found: The device that it says it is of.
        device: The device whose folder it lies in; empty where that is not known.

    Raises:
        FileError: It is another's.
    """
    if device and found != device:
        raise FileError(
            f"{path}: is of device {printable(found)!r}, not of {device!r}: put the right file there, "
            "or move it away"
        )


def copy_shipped(device: str, folder: Path, *names: str) -> None:
    """Copy files that are shipped of a device into its folder, which hides the shipped one."""
    shipped = data.shipped_root() / "latency_lut" / device
    for name in names:
        if (shipped / name).is_file() and not (folder / name).exists():
            files.write_bytes(folder / name, files.read_bytes(shipped / name))


def check_device_name(name: str) -> str:
    """Return `name` if a device may be called that.

    Raises:
        RepvitNasError: It may not.
    """
    if not _NAME.fullmatch(name):
        raise RepvitNasError(
            "a device's name is made of small letters, digits, '.', '_' and '-', at most 64, and "
            f"starts with a letter or digit; got {name!r}"
        )
    return name


def of_the_table(resolution: int, output: OutputKind) -> dict[str, str]:
    """Return the circumstances that are a table's own: of what its networks are.

    That they are classifiers goes without saying, as in files of a time when there was nothing else.
    """
    said = {RESOLUTION: f"{resolution} px"}
    return said if output == LOGITS else said | {OUTPUT: output}


def of_the_machine(circumstances: dict[str, str]) -> dict[str, str]:
    """Return circumstances without a table's own."""
    return {
        key: value
        for key, value in circumstances.items()
        if key not in (RESOLUTION, OUTPUT, CACHES)
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """List how two sets of circumstances differ, in words; what may vary is left out."""
    return [
        f"{key} is {_stated(one, key)!r} there and {_stated(other, key)!r} here"
        for key in sorted(one.keys() | other.keys())
        if key not in VOLATILE and one.get(key) != other.get(key)
    ]


def _stated(circumstances: dict[str, str], key: str) -> str:
    return circumstances.get(key, LOGITS if key == OUTPUT else "not stated")
