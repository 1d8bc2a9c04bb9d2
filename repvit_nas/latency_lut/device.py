"""What is known of a device: `latency_lut/<device>/device.json`."""

from pathlib import Path
from typing import Literal

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import UnknownNameError

DEVICE_FILE = "device.json"


class DeviceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `device.json` (schema 1).

    Attributes:
        device: The device's name on the command line.
        title: The name people use.
        kind: `modelled` from published latencies, or `measured` here.
        circumstances: Operating system, runtime, precision, batch and statistic of the figures.
    """

    schema: Literal[1]
    device: str
    title: str
    kind: Literal["modelled", "measured"]
    circumstances: dict[str, str]


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


def device_names() -> list[str]:
    """List the devices there are."""
    return [
        name
        for name, found in sorted(data.listed("latency_lut").items())
        if (found.path / DEVICE_FILE).is_file()
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
    return Device(found, files.read_json(found.path / DEVICE_FILE, DeviceFile))
