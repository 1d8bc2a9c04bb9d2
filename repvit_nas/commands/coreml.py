"""What the commands that time Core ML devices share: plans, exports, and what they print."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands import INTERRUPTED
from repvit_nas.commands.options import echo_json, note, progress_bar
from repvit_nas.errors import RepvitNasError

# A visit of a phone takes 5 to 10 seconds, nearly all of it copying.
PHONE_MINUTES: Final = 480.0

if TYPE_CHECKING:
    from repvit_nas.phone.products import Product
    from repvit_nas.predictors.campaign import Wishes
    from repvit_nas.search_space.space import Space


def core_ml_device(device: str, runtime: str | None, *, exporting: bool) -> "Product | None":
    """Return the Core ML device that a name stands for; None if something else is to time it.

    Raises:
        RepvitNasError: Programs are to be exported for a device that runs no Core ML.
    """
    from repvit_nas.phone.products import product, products

    found = product(device) if runtime is None else None
    if found is None and exporting:
        raise RepvitNasError(
            f"--export writes programs for Core ML devices; {device!r} is none; known: "
            f"{', '.join(products())}"
        )
    return found


def given_or(option: str, given: Any, own: Any) -> Any:
    """Return what an option says, or Core ML devices' own default where it says nothing."""
    from click.core import ParameterSource

    source = click.get_current_context().get_parameter_source(option)
    return own if source is ParameterSource.DEFAULT else given


def core_ml_wishes(wishes: "Wishes") -> "Wishes":
    """Return what to measure on a Core ML device: where no option says so, its own numbers."""
    from repvit_nas.phone.exporting import CALIBRATION, HELD_OUT, UNITS

    return wishes._replace(
        units=given_or("units", wishes.units, UNITS),
        held_out=given_or("networks", wishes.held_out, HELD_OUT),
        calibration=given_or("calibration", wishes.calibration, CALIBRATION),
        # A lone unit is too small for Core ML to put it where a network's units run.
        isolated=given_or("isolated", wishes.isolated, False),
    )


def export_programs(
    device: "Product", folder: Path, space: "Space", wishes: "Wishes", *, as_json: bool
) -> int:
    """Write every program to time into a folder, and say how to go on from there."""
    from repvit_nas.phone.exporting import device_plan, export

    plan = device_plan(space, wishes, at_once=True)
    with progress_bar() as progress:
        manifest = export(folder, plan, device, progress=progress)
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(manifest)
        echo_json(document)
        return 0
    size = sum(entry.size_bytes for entry in manifest.programs)
    note(
        f"{len(manifest.programs)} programs ({size / 1e6:,.0f} MB) are in {folder}, each checked "
        "against torch. Time them on the device: with Xcode's performance report (save each as "
        f"NAME.mlperf into {folder}), or in a device lab (write its figures as CSV or JSON into "
        f"{folder}), as docs/iphone.md shows; then run repvit-nas import-measurements {folder} "
        f"--device {device.device}"
    )
    return 0


def publish_and_fit(device: "Product", folder: Path, *, everywhere: bool, as_json: bool) -> int:
    """Combine the series of a device, fit it, and say how far off the fit is."""
    from repvit_nas.commands.runtime import fit_and_write, show_evaluation
    from repvit_nas.phone.measuring import publish

    published = publish(device, folder, everywhere=everywhere)
    for source in published.sources.sources:
        note(
            f"series {source.series}: {source.units} units, {source.networks} networks"
            + (
                f", {source.left_out} programs left out: not on the Neural Engine alone "
                "(--any-placement counts them)"
                if source.left_out
                else ""
            )
            + (
                f", divided by {source.factor:.3f} (± {source.factor_sd:.1%}, from "
                f"{source.shared} shared latencies)"
                if source is not published.sources.sources[0]
                else ""
            )
        )
    evaluation = fit_and_write(published.device)
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(evaluation)
        echo_json(document)
        return 0
    show_evaluation(evaluation, device.device)
    note(f"written to {folder} and {Path('predictors') / device.device}")
    return 0


def measure_device(
    device: "Product",
    space: "Space",
    wishes: "Wishes",
    *,
    team: str,
    udid: str,
    minutes: float,
    precision: float,
    everywhere: bool,
    as_json: bool,
) -> int:
    """Measure a phone: start the app on it, run the session, combine and fit.

    Raises:
        RepvitNasError: Something is missing; what was timed until then is kept.
    """
    from repvit_nas.latency_lut.device import RuntimeSpec
    from repvit_nas.latency_lut.placement import PLACEMENTS_FILE
    from repvit_nas.latency_lut.runners.coreml import CoreMlRunner
    from repvit_nas.latency_lut.series import series_folder
    from repvit_nas.latency_lut.session import Limits
    from repvit_nas.latency_lut.store import hold
    from repvit_nas.phone.exporting import device_plan
    from repvit_nas.phone.measuring import RUNTIME, GatedSession, claim_folder, expected_minutes
    from repvit_nas.phone.opening import apple_tools, open_phone
    from repvit_nas.predictors.campaign import measure

    tools = apple_tools(device)
    folder = Path("latency_lut") / device.device
    plan = device_plan(space, wishes, at_once=False)
    with hold(folder):
        claim_folder(device, folder)
        phone = open_phone(device, folder, team=team, udid=udid, apple=tools, say=note)
        try:
            packages = folder / ".programs"
            packages.mkdir(parents=True, exist_ok=True)
            runner = CoreMlRunner(device, phone, packages)
            home = series_folder(folder, runner.series())
            home.mkdir(parents=True, exist_ok=True)
            runner.keep_placements(home / PLACEMENTS_FILE)
            session = GatedSession(home, runner)
            spec = RuntimeSpec(RUNTIME, target=device.device)
            session.claim(device.device, device.title, spec, plan.resolution)
            plan = session.plan(plan)
            one, usual = expected_minutes(plan, runner.probe.seconds)
            note(
                f"series {home.name}: a visit takes {runner.probe.seconds:.1f} s, so a round about "
                f"{one:.0f} minutes and the whole about {usual:.0f} minutes on the phone; "
                f"{session.minutes:.0f} are done, at most {minutes:g}"
            )
            with progress_bar() as progress:
                measure(
                    session,
                    plan,
                    space,
                    wishes,
                    limits=Limits(minutes, precision),
                    progress=progress,
                )
        except KeyboardInterrupt:
            note(
                f"stopped; what was timed is kept in {folder}: the same command goes on from there"
            )
            return INTERRUPTED
        finally:
            phone.stop()
        return publish_and_fit(device, folder, everywhere=everywhere, as_json=as_json)
