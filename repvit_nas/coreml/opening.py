"""From a device's name to a place that runs programs: the runner app, started, or this Mac."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from repvit_nas.coreml.app import Phone
from repvit_nas.coreml.building import build, check_team, sources
from repvit_nas.coreml.client import Waits
from repvit_nas.coreml.discovery import Connected, find_device
from repvit_nas.coreml.mac import Mac, OnMac, core_ml, examine_mac, find_mac
from repvit_nas.coreml.place import CoreMlPlace
from repvit_nas.coreml.products import Product
from repvit_nas.coreml.xcrun import Apple, XcrunError, find_xcrun
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import clock
from repvit_nas.latency_lut.device import device_names, load_device

BUILDS_FOLDER: Final = ".modelrunner"
PACKAGES_FOLDER: Final = ".programs"


def two_other_ways(product: Product) -> str:
    """Say how a device is measured without a Mac at hand."""
    name = product.device
    modelled = name in device_names() and load_device(name).file.kind == "modelled"
    until = "; until it is measured, its latencies are modelled" if modelled else ""
    return (
        f"{_no_way(product)}{until}. There are two other ways: (1) repvit-nas measure-lut --device "
        f"{name} --export DIR writes every program to time, on any machine; time them in Xcode "
        "(performance reports) or in a device lab, put the reports into DIR; (2) repvit-nas "
        f"import-measurements DIR --device {name} takes Xcode's *.mlperf, CSV or JSON back into the "
        "table; docs/iphone.md shows both"
    )


def _no_way(product: Product) -> str:
    if product.is_mac:
        return (
            f"this is no Mac, and {product.title} can only time itself: run the command there, with a "
            "coremltools that was installed there"
        )
    return f"xcrun is not on the path, and only a Mac with Xcode can drive an {product.title}"


def check_driven(product: Product) -> None:
    """Raise where nothing here can run one more network on a device that is measured already.

    Args:
        product: The model.

    Raises:
        RepvitNasError: Nothing can; the message says what is known of the device without that.
    """
    if (find_mac() if product.is_mac else find_xcrun()) is None:
        raise RepvitNasError(
            f"{_no_way(product)}. Without it, repvit-nas predict ARCH --device {product.device} says "
            f"what a network takes, from what was measured or imported, and repvit-nas fit --device "
            f"{product.device} how far off that is on networks held out"
        )


def apple_tools(product: Product) -> Apple:
    """Return Apple's tools.

    Raises:
        RepvitNasError: They are not here; the message says what can be done without.
    """
    found = find_xcrun()
    if found is None:
        raise RepvitNasError(two_other_ways(product))
    return found


def check_here(product: Product, *, team: str, udid: str = "") -> None:
    """Raise at once where a device cannot be measured: before minutes are spent on converting.

    Args:
        product: The model.
        team: Identifier of the team that signs a phone's app.
        udid: Which of several phones.

    Raises:
        RepvitNasError: It cannot; the message says what to do, or what can be done instead.
    """
    if product.is_mac:
        ready_mac(product)
        return
    find_device(apple_tools(product), product, udid=udid)
    check_team(team)
    sources()


def ready_mac(product: Product, mac: Mac | None = None) -> Mac:
    """Return the Mac that this runs on.

    Args:
        product: The model.
        mac: The Mac; by default the one that this runs on.

    Raises:
        RepvitNasError: This is no Mac, another one than is wanted, or something is missing.
    """
    here = mac or find_mac()
    if here is None:
        raise RepvitNasError(two_other_ways(product))
    for finding in examine_mac(product, here):
        if finding.fine is False:
            raise RepvitNasError(f"{finding.name}: {finding.said}")
    return here


def open_place(
    product: Product,
    folder: Path,
    *,
    team: str,
    udid: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> CoreMlPlace:
    """Return a device, ready to run programs; the caller stops it.

    Args:
        product: The model.
        folder: The device's folder; a phone's app is kept in it, hidden.
        team: Identifier of the team that signs a phone's app.
        udid: Which of several phones.
        say: Told what is being done.

    Raises:
        RepvitNasError: Something is missing; the message says what to do.
    """
    if not product.is_mac:
        return open_phone(product, folder, team=team, udid=udid, say=say)
    mac = ready_mac(product)
    say(f"device: {mac.model}, {mac.chip}, macOS {mac.version} ({mac.build})")
    return OnMac(mac, core_ml())


def open_phone(
    product: Product,
    folder: Path,
    *,
    team: str,
    udid: str = "",
    apple: Apple | None = None,
    source: Path | None = None,
    loop: bool = True,
    waits: Waits | None = None,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = lambda _: None,
) -> Phone:
    """Find a device, build the app for it, install and start it.

    Args:
        product: The model.
        folder: The device's folder; builds are kept in it, hidden.
        team: Identifier of the team that signs the app.
        udid: Which of several devices.
        apple: Apple's tools; by default those on the path.
        source: The app's source; by default the installed coremltools'.
        loop: Whether to build the warm loop in.
        waits: How long things may take.
        sleep: Waits.
        say: Told what is being done.

    Raises:
        RepvitNasError: Something is missing; the message says what to do.
    """
    tools = apple or apple_tools(product)
    device = find_device(tools, product, udid=udid, sleep=sleep)
    say(f"device: {device.title}, system {device.system} ({device.build})")
    with ExitStack() as held:
        held.enter_context(clock(say, phone=device.udid))
        phone = _started(
            tools,
            device,
            folder / BUILDS_FOLDER,
            team=team,
            source=source,
            loop=loop,
            waits=waits,
            sleep=sleep,
            say=say,
        )
        phone.until_stopped(held.pop_all())
    return phone


def _started(
    tools: Apple,
    device: Connected,
    builds: Path,
    *,
    team: str,
    source: Path | None,
    loop: bool,
    waits: Waits | None,
    sleep: Callable[[float], None],
    say: Callable[[str], None],
) -> Phone:
    """Build the app, install and start it; again where one built earlier cannot be installed."""
    built = build(tools, device, builds, team=team, source=source, loop=loop, say=say)
    phone = Phone(tools, device, built, waits=waits, sleep=sleep)
    try:
        try:
            phone.start()
        except XcrunError:
            if built.fresh:
                raise
            say("the app built earlier cannot be installed: building it again")
            built = build(
                tools, device, builds, team=team, source=source, loop=loop, again=True, say=say
            )
            phone = Phone(tools, device, built, waits=waits, sleep=sleep)
            phone.start()
    except BaseException:  # Ctrl-C too, while the app settles
        phone.stop()
        raise
    return phone
