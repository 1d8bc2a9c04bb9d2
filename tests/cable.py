"""A simulated phone on the cable: opened, its runner, one visit."""

import os
import time

import pytest
from fake_apple import app_source, simulated_packages

from repvit_nas.coreml.client import Waits
from repvit_nas.coreml.opening import open_phone
from repvit_nas.coreml.products import product
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.errors import RepvitNasError
from repvit_nas.programs import chain
from repvit_nas.units import Ffn

UNIT = Ffn(32, 64, 14)
SHORT = Waits(answer=0.3, load=0.3, poll=0.01, copy=5)
IPHONE = product("iphone12")

# What Apple's tools say of a locked phone before they install on it: the reason comes early.
LOCKED = (
    "The developer disk image could not be mounted on this device. (CoreDeviceError error 12040)\n"
    "  The operation failed since the device is locked. (kAMDMobileImageMounterDeviceLocked)\n"
    "    Options = {\n" + "        MountedBundlePath = /private/var/tmp/CoreDevice;\n" * 12 + "}"
)


def opened(apple, tmp_path, **options):
    return open_phone(
        IPHONE,
        tmp_path / "device",
        team=options.pop("team", "TEAM1"),
        apple=apple,
        source=app_source(tmp_path / "source"),
        waits=SHORT,
        sleep=lambda _: None,
        **options,
    )


def runner(phone, tmp_path, **options):
    packages = tmp_path / "packages"
    packages.mkdir(exist_ok=True)
    return CoreMlRunner(
        phone, packages, placements=tmp_path / "placements.jsonl",
        writer=simulated_packages, shape=lambda unit: (unit.width, unit.size, unit.size),
        **options,
    )  # fmt: skip


def said_in_time(apple, tmp_path, said):
    """One visit ends in that message, in one line and with nothing left that runs."""
    start = time.monotonic()

    with pytest.raises(RepvitNasError, match=said) as error:
        timed(apple, tmp_path)

    assert time.monotonic() - start < 20
    assert "\n" not in str(error.value)
    assert all(process.stopped for process in apple.started)


def timed(apple, tmp_path):
    phone = opened(apple, tmp_path)
    try:
        with runner(phone, tmp_path).load(chain(UNIT, 2)) as calls:
            return calls(20)
    finally:
        phone.stop()


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
