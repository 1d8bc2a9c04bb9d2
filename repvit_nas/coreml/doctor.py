"""What is missing before a device can be measured: one line each, with the remedy."""

import re
from pathlib import Path
from typing import Final

from repvit_nas.conversion.converter import REQUIRED, installed_version, too_old
from repvit_nas.coreml.building import SERVICE, sources, with_loop, xcode_version
from repvit_nas.coreml.discovery import check_ready, choose, connected, open_tunnel, why_closed
from repvit_nas.coreml.findings import Condition
from repvit_nas.coreml.mac import examine_mac, find_mac
from repvit_nas.coreml.opening import two_other_ways
from repvit_nas.coreml.products import Product
from repvit_nas.coreml.xcrun import QUICK, Apple, XcrunError, find_xcrun, tool
from repvit_nas.errors import RepvitNasError

OLDEST_XCODE: Final = 16


def examine(
    product: Product,
    *,
    team: str,
    udid: str = "",
    apple: Apple | None = None,
    source: Path | None = None,
) -> list[Condition]:
    """Look at everything that measuring a device needs, and stop where nothing more can be seen.

    Args:
        product: The device.
        team: Identifier of the team that signs the app.
        udid: Which of several devices.
        apple: Apple's tools; by default those on the path.
        source: The app's source; by default the installed coremltools'.
    """
    if product.is_mac:
        mac = find_mac()
        if mac is None:
            return [Condition("Mac", fine=False, said=two_other_ways(product))]
        return examine_mac(product, mac)
    tools = apple or find_xcrun()
    if tools is None:
        return [Condition("Apple's tools", fine=False, said=two_other_ways(product))]
    try:
        tools.run(["--version"], QUICK)  # whatever it says: it can be run
    except XcrunError as error:
        return [Condition("Apple's tools", fine=False, said=str(error))]
    findings = [Condition("Apple's tools", fine=True, said="xcrun is on the path")]
    findings += [_xcode(tools), _tool(tools, "devicectl"), _tool(tools, "coremlcompiler")]
    findings.append(_coremltools())
    findings += _app(source)
    findings.append(
        Condition("team", fine=True, said=team)
        if team
        else Condition(
            "team",
            fine=False,
            said="give the identifier of a development team with --team or REPVIT_NAS_TEAM: Xcode, "
            "Settings, Accounts; a free personal team will do",
        )
    )
    return [*findings, *_device(tools, product, udid)]


def _xcode(tools: Apple) -> Condition:
    try:
        version = xcode_version(tools)
    except XcrunError as error:
        return Condition(
            "Xcode", fine=False, said=f"install it from the App Store, then open it: {error}"
        )
    number = re.match(r"\d+", version)
    if number is None or int(number[0]) < OLDEST_XCODE:
        return Condition(
            "Xcode",
            fine=False,
            said=f"{version}: {OLDEST_XCODE} or newer builds the app; update it",
        )
    return Condition("Xcode", fine=True, said=version)


def _tool(tools: Apple, name: str) -> Condition:
    try:
        where = tool(tools, ["--find", name]).strip()
    except XcrunError:
        return Condition(
            name, fine=False, said="is not in the Xcode that is selected: xcode-select --switch it"
        )
    return Condition(name, fine=True, said=where)


def _coremltools() -> Condition:
    version = installed_version()
    if not version:
        return Condition("coremltools", fine=False, said=f"pip install '{REQUIRED}'")
    lacking = too_old(version)
    return Condition("coremltools", fine=not lacking, said=lacking or version)


def _app(source: Path | None) -> list[Condition]:
    try:
        folder = source or sources()
        text = (folder / SERVICE).read_text()
    except (RepvitNasError, OSError) as error:
        return [Condition("runner app", fine=False, said=str(error))]
    loop = with_loop(text) is not None
    return [
        Condition("runner app", fine=True, said=str(folder)),
        Condition(
            "warm loop",
            fine=True if loop else None,
            said="fits this coremltools"
            if loop
            else "does not fit this coremltools: the stock app is used, whose calls are all cold, in a "
            "series of their own",
        ),
    ]


def _device(tools: Apple, product: Product, udid: str) -> list[Condition]:
    try:
        found = choose(connected(tools), product, udid)
    except RepvitNasError as error:
        return [Condition("device", fine=False, said=str(error))]
    if not found.tunnel:
        open_tunnel(tools, found)
        found = choose(connected(tools), product, udid or found.udid)
    if not (found.tunnel or found.system):
        return [Condition("device", fine=False, said=why_closed(found))]
    findings = [
        Condition("device", fine=True, said=f"{found.title}, {found.system} ({found.build})")
    ]
    try:
        check_ready(found)
    except RepvitNasError as error:
        return [*findings, Condition("settings", fine=False, said=str(error))]
    findings.append(
        Condition("settings", fine=True, said="Developer Mode is on, the system new enough")
    )
    findings.append(
        Condition("connection", fine=True, said="open")
        if found.tunnel
        else Condition("connection", fine=False, said=why_closed(found))
    )
    findings.append(
        Condition(
            "to check by hand",
            fine=None,
            said="Low Power Mode off, screen unlocked, no case, cool, on the cable for 15 minutes",
        )
    )
    return findings
