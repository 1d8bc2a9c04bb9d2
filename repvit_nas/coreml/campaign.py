"""Time a series of a Core ML device: convert, make the device ready, and run the session."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from repvit_nas.coreml import runner as core_ml
from repvit_nas.coreml.opening import PACKAGES_FOLDER, open_place
from repvit_nas.coreml.products import Product
from repvit_nas.coreml.session import (
    GatedSession,
    check_same_model,
    expected_minutes,
    own_series,
    planned_otherwise,
)
from repvit_nas.folders import clock
from repvit_nas.latency_lut.device import CORE_ML, RuntimeSpec
from repvit_nas.latency_lut.placement import PLACEMENTS_FILE
from repvit_nas.latency_lut.plan import Plan, programs
from repvit_nas.measuring.campaign import Wishes, measure
from repvit_nas.measuring.session import Limits
from repvit_nas.programs import network
from repvit_nas.search_space.space import Space
from repvit_nas.words import Progress


def time_series(
    product: Product,
    folder: Path,
    plan: Plan,
    space: Space,
    wishes: Wishes,
    *,
    limits: Limits,
    team: str,
    udid: str,
    everywhere: bool,
    say: Callable[[str], None],
    progress: Progress,
) -> str:
    """Time what is wished for on a device, and return the name of the series.

    Args:
        product: The device.
        folder: Its folder.
        plan: What :func:`device_plan` made of the wishes.
        space: Where networks and units come from.
        wishes: What to measure.
        limits: When to stop.
        team: Identifier of the team that signs a phone's app.
        udid: Which of several phones.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        say: Told what people should know.
        progress: Told how far it is.

    Raises:
        RepvitNasError: Something is missing; what was timed until then is kept.
    """
    packages = folder / PACKAGES_FOLDER
    with ExitStack() as opened:
        first = [network(plan.sentinel), *programs(plan, 0).values()]
        say(f"{len(first)} programs of the first round are converted, or were before")
        core_ml.write_packages(packages, first, progress)
        if product.is_mac:  # a phone's own clock is kept while its app runs
            opened.enter_context(clock(say))
        place = open_place(product, folder, team=team, udid=udid, say=say)
        opened.callback(place.stop)
        runner = core_ml.CoreMlRunner(place, packages)
        check_same_model(folder, runner.circumstances()["processor"])
        home = own_series(folder, runner, plan)
        otherwise = planned_otherwise(home, runner, plan)
        if otherwise:
            say(otherwise)
        home.mkdir(parents=True, exist_ok=True)
        runner.keep_placements(home / PLACEMENTS_FILE)
        session = GatedSession(home, runner, everywhere=everywhere, passing=True)
        spec = RuntimeSpec(CORE_ML, target=product.device)
        session.claim(product.device, product.title, spec, plan.resolution, plan.output)
        plan = session.plan(plan)
        one, usual = expected_minutes(plan, runner.probe.seconds)
        say(
            f"series {home.name}: a visit takes {runner.probe.seconds:.1f} s, so a round about "
            f"{one:.0f} minutes and the whole about {usual:.0f} minutes on {product.title}; "
            f"{session.minutes:.0f} are done, at most {limits.minutes:g}"
        )
        measure(session, plan, space, wishes, limits=limits, progress=progress)
        for said in session.not_taken.values():
            say(f"left out: {said}")
    return home.name
