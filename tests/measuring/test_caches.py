import collections
import contextlib

import pytest
from simulated import SimulatedRunner, quiet

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec, of_the_machine, read_device
from repvit_nas.measuring.caches import SWEPT, SWEPT_MB, Sweep, make_sweep
from repvit_nas.measuring.campaign import Wishes, first_plan, measure
from repvit_nas.measuring.session import Limits, Session
from repvit_nas.programs import isolated, network, recipe
from repvit_nas.search_space import load_space

WISHES = Wishes(units=12, calibration=4, held_out=4, isolated=True, seed=0)
LIMITS = Limits(minutes=1.0, precision=1.0)


def test_what_is_read_is_memory_and_not_the_page_of_zeros_that_unwritten_memory_is():
    sweep = make_sweep()

    assert sweep.read() == SWEPT_MB * 1e6 / 8  # ones, of eight bytes each
    assert sweep.milliseconds > 0


def test_memory_is_read_before_each_call():
    done = []

    def calls(count):
        done.append(count)
        return [2.0] * count

    samples = Sweep(lambda: done.append("read"), 1.0).before(calls)(3)

    assert samples == [2.0] * 3
    assert done == ["read", 1] * 3


class Recording(SimulatedRunner):
    """A runner on caches that remembers how many calls of each program it was asked for at once."""

    on_caches = True

    def __init__(self, log):
        super().__init__(log)
        self.counts = collections.defaultdict(list)

    @contextlib.contextmanager
    def load(self, program):
        with super().load(program) as calls:

            def counted(count):
                self.counts[program.key].append(count)
                return calls(count)

            yield counted


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    runner = Recording(folder / "visits.jsonl")
    session = Session(folder, runner, clock=runner.clock)
    session.claim("cpu", "", RuntimeSpec("onnxruntime"), 224)
    space, _ = load_space("repvit")
    plan = session.plan(first_plan(space, WISHES))
    measure(session, plan, space, WISHES, limits=LIMITS, progress=quiet)
    return folder, runner, session.plan(plan)


def test_units_among_others_are_swept_and_networks_and_lone_units_are_not(measured):
    _, runner, plan = measured
    parts = {item.key for unit in plan.units for item, _ in recipe(unit, plan.lengths).terms}
    whole = {network(each).key for each in (*plan.networks, plan.sentinel)}
    alone = {isolated(unit).key for unit in plan.isolated_units()} & runner.counts.keys()

    assert parts
    assert whole
    assert alone
    assert all(set(runner.counts[key]) == {1} for key in parts)
    assert all(max(runner.counts[key]) > 1 for key in whole | alone)


def test_figures_of_other_caches_are_never_merged(measured):
    folder, _, _ = measured
    stated = read_device(folder / "device.json", "cpu").circumstances

    assert stated["caches"] == SWEPT
    # Networks run as they did before, so a table of then may be validated now.
    assert "caches" not in of_the_machine(stated)
    hot = SimulatedRunner(folder / "visits.jsonl")
    with pytest.raises(RepvitNasError, match="caches is '20 MB .*' there and 'not stated' here"):
        Session(folder, hot, clock=hot.clock).claim("cpu", "", RuntimeSpec("onnxruntime"), 224)
