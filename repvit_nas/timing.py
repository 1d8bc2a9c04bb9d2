"""Timing whole networks on a device that is known, whatever runtime times it; nothing is kept."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import clock
from repvit_nas.latency_lut.device import Device, device_names, load_device
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    off_the_engine,
    read_placements,
    without_networks,
)
from repvit_nas.latency_lut.table import TABLE_FILE, Table, read_table, slower_now
from repvit_nas.measuring.campaign import check_timeable, network_plan, time_networks
from repvit_nas.measuring.runners import open_runner
from repvit_nas.measuring.session import Limits, Session
from repvit_nas.programs import network
from repvit_nas.units import Network
from repvit_nas.words import Progress, Say

if TYPE_CHECKING:
    from repvit_nas.coreml.products import Product

# Of one network and the sentinel, for two rounds and more.
NETWORK_MINUTES: Final = 1.0
# A visit of a phone takes 5 to 10 seconds, nearly all of it copying.
CORE_ML_NETWORK_MINUTES: Final = 10.0
NETWORK_PRECISION: Final = 0.005


class Access(NamedTuple):
    """How a phone is reached; other devices need nothing.

    Attributes:
        team: Identifier of the team that signs a phone's app.
        udid: Which of several phones.
    """

    team: str = ""
    udid: str = ""


class Timed(NamedTuple):
    """Networks that were timed.

    Attributes:
        table: Their latencies, by the statistic of the device's own table.
        off: Keys of the programs that did not run on the Neural Engine alone.
        slower: What to say where the device is slower than when it was measured; empty if it is not.
    """

    table: Table
    off: frozenset[str]
    slower: str

    def ran_off(self, architecture: Network) -> bool:
        """Return whether a network did not run on the Neural Engine alone."""
        return network(architecture).key in self.off

    @property
    def on_engine(self) -> Table:
        """Return the table without the networks that did not run on the engine alone.

        Raises:
            RepvitNasError: Fewer than two are left.
        """
        return without_networks(self.table, self.off) if self.off else self.table


def timed_by_core_ml(device: Device) -> bool:
    """Return whether Core ML times a measured device."""
    return device.file.runtime is not None and device.file.runtime.is_core_ml


def _timed_here(device: Device) -> bool:
    """Return whether a device's times are taken by this machine's clock; a phone has its own."""
    from repvit_nas.coreml.products import product

    known = product(device.name)
    return known is None or known.is_mac or not timed_by_core_ml(device)


def network_limits(device: Device) -> Limits:
    """Return how long one network is timed where nobody says."""
    core_ml = timed_by_core_ml(device)
    return Limits(CORE_ML_NETWORK_MINUTES if core_ml else NETWORK_MINUTES, NETWORK_PRECISION)


def measured_device(name: str) -> Device:
    """Return a device that can be timed here.

    Raises:
        RepvitNasError: There is no such device, or it is only modelled.
    """
    from repvit_nas.coreml.products import product

    known = product(name)
    if known is not None and name not in device_names():
        raise RepvitNasError(
            f"device {name!r} ({known.title}) is not measured so far: {_how_to_measure(known)}"
        )
    device = load_device(name)
    if device.file.kind != "measured":
        what = f"device {name!r} ({device.file.title}) is modelled so far"
        if known is not None:
            raise RepvitNasError(
                f"{what}, and only a measured one can be timed: {_how_to_measure(known)}"
            )
        raise RepvitNasError(
            f"{what}, from latencies of whole networks, and cannot be timed on this machine; measure this "
            "machine with repvit-nas measure-lut --device cpu"
        )
    return device


def _how_to_measure(known: "Product") -> str:
    """Say what makes a Core ML device a measured one."""
    name = known.device
    where = "on that Mac" if known.is_mac else "on a Mac with Xcode and the device on its cable"
    return (
        f"repvit-nas measure-lut --device {name} {where} makes it measured; anywhere else, repvit-nas "
        f"measure-lut --device {name} --export DIR and repvit-nas import-measurements DIR --device "
        f"{name} do, as docs/iphone.md shows"
    )


@contextmanager
def open_session(
    device: Device, folder: Path, access: Access, say: Say = lambda _: None
) -> Iterator[Session]:
    """Give a session on a measured device, whatever runtime times it.

    Args:
        device: The device.
        folder: Where visits go.
        access: How a phone is reached.
        say: Told that another measurement of a phone has to end first.

    Raises:
        RepvitNasError: The device cannot be timed here, or is not as it was measured.
    """
    spec = device.file.runtime
    if spec is None:
        raise RepvitNasError(f"{device.folder}: states no runtime; measure the device first")
    if not timed_by_core_ml(device):
        session = Session(folder, open_runner(spec))
        session.same_machine(device)
        yield session
        return
    from repvit_nas.coreml.runner import open_device
    from repvit_nas.coreml.session import GatedSession

    with closing(open_device(spec, team=access.team, udid=access.udid, say=say)) as runner:
        runner.keep_placements(folder / PLACEMENTS_FILE)
        # What ran elsewhere is said with the figures, not left out before.
        session = GatedSession(folder, runner, everywhere=True)
        session.same_machine(device)
        yield session


def time_on(
    device: Device,
    networks: Sequence[Network],
    limits: Limits,
    progress: Progress,
    *,
    access: Access | None = None,
    seed: int = 0,
    isolated: bool = False,
    say: Say = lambda _: None,
) -> Timed:
    """Time networks on a measured device, as its table was timed; nothing is kept.

    Args:
        device: The device.
        networks: What to time.
        limits: When to end.
        progress: Told what is being done, how far it is, and of how much.
        access: How a phone is reached.
        seed: Of the order of visits.
        isolated: Also time their units alone.
        say: Told that another measurement has to end first.

    Raises:
        RepvitNasError: The device or a network cannot be timed here, or is not as it was measured.
    """
    for each in networks:
        check_timeable(each.output, isolated=isolated)
    with tempfile.TemporaryDirectory(prefix="repvit-nas-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        mine = clock(say) if _timed_here(device) else nullcontext()
        with mine, open_session(device, folder, access or Access(), say) as session:
            then = read_table(device.path(TABLE_FILE), device.name)
            plan = network_plan(
                list(networks), seed=seed, isolated=isolated, sentinel_resolution=then.resolution
            )
            table = time_networks(session, plan, limits, progress, then.chosen)
        off = off_the_engine(read_placements(folder / PLACEMENTS_FILE))
    return Timed(table, off, slower_now(then, table))


class LatencyHere(NamedTuple):
    """A network's latency on a device, where it can be timed here.

    Attributes:
        ms: The latency; None where it cannot.
        off_engine: Whether not all of it ran on the Neural Engine.
        why_not: Why it cannot be timed here; empty if it can.
    """

    ms: float | None
    off_engine: bool = False
    why_not: str = ""


def latency_here(
    name: str,
    architecture: Network,
    *,
    access: Access,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> LatencyHere:
    """Time a network on a device; where that cannot be done here, say why.

    Args:
        name: The device's name.
        architecture: The network.
        access: How the device is reached, if it is a phone.
        say: Told that another measurement has to end first.
        progress: Told what is being done, how far it is, and of how much.
    """
    try:
        device = measured_device(name)
        limits = network_limits(device)
        timed = time_on(device, [architecture], limits, progress, access=access, say=say)
    except RepvitNasError as error:
        return LatencyHere(None, why_not=str(error))
    (row,) = timed.table.networks("held_out")
    return LatencyHere(row.latency_ms, timed.ran_off(architecture))
