"""Which device is on the cable, and whether it can be measured."""

import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from repvit_nas.coreml.products import Product, product_of_type
from repvit_nas.coreml.xcrun import Apple, XcrunError, devicectl
from repvit_nas.errors import RepvitNasError

# The first system whose compute plan the runner app can read.
OLDEST_SYSTEM: Final = (17, 4)
_TUNNEL_TRIES: Final = 3
_TUNNEL_PAUSE: Final = 2.0


class Connected(NamedTuple):
    """A device as Apple's tools list it; its name and serial number are not kept.

    Attributes:
        identifier: What `devicectl` calls it.
        udid: What `xcodebuild` calls it.
        family: iPhone, iPad...
        product_type: Its model, such as `iPhone13,2`.
        system: The version of its operating system.
        build: The build of that.
        physical: Whether it is a device and no simulator.
        paired: Whether it trusts this Mac.
        developer_mode: Whether Developer Mode is on.
        tunnel: Whether the connection is open.
    """

    identifier: str
    udid: str
    family: str
    product_type: str
    system: str
    build: str
    physical: bool
    paired: bool
    developer_mode: bool
    tunnel: bool

    @property
    def title(self) -> str:
        """The model's name, with the end of its identifier to tell two apart."""
        known = product_of_type(self.product_type)
        return f"{known.title if known else self.product_type} (…{self.udid[-4:]})"


def connected(apple: Apple) -> list[Connected]:
    """List the devices that Apple's tools know.

    Raises:
        XcrunError: They cannot be asked.
    """
    listed = devicectl(apple, ["list", "devices"]).get("devices", [])
    return [_connected(item) for item in listed if isinstance(item, dict)]


def _connected(item: dict[str, Any]) -> Connected:
    connection, hardware, device = (
        item.get(part) or {}
        for part in ("connectionProperties", "hardwareProperties", "deviceProperties")
    )
    return Connected(
        identifier=str(item.get("identifier", "")),
        udid=str(hardware.get("udid", "")),
        family=str(hardware.get("deviceType", "")),
        product_type=str(hardware.get("productType", "")),
        system=str(device.get("osVersionNumber", "")),
        build=str(device.get("osBuildUpdate", "")),
        physical=hardware.get("reality", "physical") == "physical",
        paired=connection.get("pairingState") == "paired",
        # A device that says nothing of Developer Mode has a system older than it.
        developer_mode=device.get("developerModeStatus", "enabled") == "enabled",
        tunnel=connection.get("tunnelState") == "connected",
    )


def find_device(
    apple: Apple,
    product: Product,
    *,
    udid: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Connected:
    """Return the one connected device of a model, ready to be measured.

    Args:
        apple: Apple's tools.
        product: The model.
        udid: Which of several, by identifier.
        sleep: Waits, for the connection to open.

    Raises:
        RepvitNasError: There is none, there are several, or it is not ready; the message says what
            to do.
    """
    found = choose(connected(apple), product, udid)
    for attempt in range(_TUNNEL_TRIES):
        if found.tunnel:
            break
        if attempt:
            sleep(_TUNNEL_PAUSE)
        open_tunnel(apple, found)
        found = choose(connected(apple), product, udid or found.udid)
    if found.tunnel or found.system:
        check_ready(found)
    if found.tunnel:
        return found
    raise RepvitNasError(why_closed(found))


def why_closed(device: Connected) -> str:
    """Say why the connection to a device does not open, and what to do.

    Of a device that is paired but not there, nothing is listed but what does not change.
    """
    if not device.system:
        return f"{device.title} is paired, but it is not on the cable: plug it in, unlock it, and repeat"
    return (
        f"{device.title} is paired, but the connection to it does not open: unlock it, plug the cable "
        "in again, and close other programs that use it (Xcode's device window)"
    )


def open_tunnel(apple: Apple, device: Connected) -> None:
    """Ask the device something, which opens the connection to it; a refusal is not an error yet."""
    try:
        devicectl(apple, ["device", "info", "details", "--device", device.identifier])
    except XcrunError:
        return


def choose(listed: list[Connected], product: Product, udid: str = "") -> Connected:
    """Return the device that is wanted among those that are listed.

    Raises:
        RepvitNasError: There is none, or there are several.
    """
    real = [item for item in listed if item.physical and item.family == product.family]
    fitting = [item for item in real if item.product_type == product.product_type]
    if udid:
        fitting = [item for item in fitting if udid in (item.udid, item.identifier)]
    paired = [item for item in fitting if item.paired]
    if len(paired) > 1:
        raise RepvitNasError(
            f"{len(paired)} devices are {product.title}: say which with --udid "
            f"{' or --udid '.join(item.udid for item in paired)}"
        )
    if paired:
        return paired[0]
    if fitting:
        raise RepvitNasError(
            f"{fitting[0].title} does not trust this Mac: unlock it and tap Trust, then repeat"
        )
    if real:
        others = {item.product_type: item for item in real}
        known = [product_of_type(kind) for kind in others]
        names = ", ".join(
            f"{item.title}: --device {row.device}" if row else item.title
            for item, row in zip(others.values(), known, strict=True)
        )
        raise RepvitNasError(
            f"no {product.title} ({product.product_type}) is connected{f' as {udid}' if udid else ''}; "
            f"connected: {names}"
        )
    simulated = any(not item.physical for item in listed)
    raise RepvitNasError(
        f"no {product.title} is connected"
        + (
            ": only simulators are listed, which say nothing of a device's speed"
            if simulated
            else ""
        )
        + "; plug it in by cable, unlock it, and tap Trust"
    )


def check_ready(device: Connected) -> None:
    """Raise unless a device's settings let it be measured.

    Raises:
        RepvitNasError: Developer Mode is off, or the system is too old.
    """
    if not device.developer_mode:
        raise RepvitNasError(
            f"Developer Mode is off on {device.title}: turn it on in Settings, Privacy & Security, "
            "Developer Mode; the device restarts"
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", device.system)[:2])
    if numbers < OLDEST_SYSTEM:
        oldest = ".".join(map(str, OLDEST_SYSTEM))
        raise RepvitNasError(
            f"{device.title} runs {device.system or 'an unknown system'}: {oldest} or newer is needed "
            "to see where operations run; update it, or use Xcode's performance reports "
            "(repvit-nas import-measurements)"
        )
