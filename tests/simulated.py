"""A device whose true costs are known, for everything that measures and fits."""

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.session import Session
from repvit_nas.units import Block, Head, Stem

SPEC = RuntimeSpec("onnxruntime")
OVERHEAD_MS = 0.05
# Bringing an input into the runtime's own layout costs by its size, entering and leaving alike.
ENTRY_NS_PER_ELEMENT = 0.4


def true_cost_ms(unit):
    """Return a cost with steps and curvature that no physical form has exactly."""
    compute = unit.macs / 30e6 * (1 + 0.15 * math.sin(math.log2(unit.macs + 1)))
    gate = 0.02 if isinstance(unit, Block) and unit.se else 0.0
    return 0.01 + compute + gate + unit.bytes_moved / 4e7


def entry_ms(unit):
    if isinstance(unit, Stem | Head):
        return 0.0
    channels = getattr(unit, "width", None) or unit.c_in
    return ENTRY_NS_PER_ELEMENT * channels * unit.size**2 / 1e6


def true_latency_ms(units):
    inside = sum(count * true_cost_ms(unit) for unit, count in units)
    return OVERHEAD_MS + inside + entry_ms(units[0][0]) + entry_ms(units[-1][0])


class SimulatedRunner:
    """Answers with true latencies, noise, spikes and drift; time passes on its own clock.

    The noise depends on how many visits are in the log, so that a session that was interrupted
    sees what an undisturbed one sees.
    """

    on_caches = False

    def __init__(self, log: Path, *, noise=0.01, spikes=0.05, drift=0.0, cold=0.5):
        self.log = log
        self.noise = noise
        self.spikes = spikes
        self.drift = drift
        self.cold = cold
        self.now = 0.0
        self.prepared = []

    def clock(self):
        return self.now

    def circumstances(self):
        return {"runtime": "simulated 1", "threads": "1", "precision": "fp32", "batch": "1"}

    def prepare(self, unit):
        self.prepared.append(unit)

    @contextmanager
    def load(self, program):
        visits = self.log.read_bytes().count(b"\n") if self.log.is_file() else 0
        rng = np.random.default_rng((visits, int(program.key, 16) % 2**32))
        truth = true_latency_ms(program.units) * (1 + self.drift * visits / 1000)
        done = 0

        def calls(count):
            nonlocal done
            series = []
            for _ in range(count):
                value = truth * (1 + self.noise * abs(rng.standard_normal()))
                value *= 3.0 if rng.random() < self.spikes else 1.0
                value *= 1 + self.cold * 0.3**done
                done += 1
                self.now += value / 1e3
                series.append(value)
            return series

        yield calls


def simulated_table(space, *, units, calibration=12, held_out=20, noise=0.01, seed=0):
    """Return the table that a session on the simulated device would leave."""
    from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
    from repvit_nas.latency_lut.table import IsolatedRow, NetworkRow, Table, UnitRow
    from repvit_nas.measuring.design import choose_units, random_networks
    from repvit_nas.predictors.residual import PRIOR_KERNEL
    from repvit_nas.programs import recipe
    from repvit_nas.units import count, rows

    rng = np.random.default_rng(seed)

    def numbers(truth):
        value = truth * math.exp(noise * rng.standard_normal())
        deviation = noise * truth
        return value, deviation, value - 1.645 * deviation, value + 1.645 * deviation, 5

    def whole(network):
        return OVERHEAD_MS + sum(
            times * true_cost_ms(unit) for unit, times in count(rows(network)).items()
        )

    chosen = choose_units(random_networks(space, 60, seed=seed + 1), units, PRIOR_KERNEL)
    networks = random_networks(space, calibration + held_out, seed=seed)
    listed = [
        UnitRow(
            *numbers(true_cost_ms(unit) + recipe(unit).calls * OVERHEAD_MS),
            unit=unit,
            calls=recipe(unit).calls,
        )
        for unit in chosen
    ]
    listed += [
        NetworkRow(
            *numbers(whole(network)),
            role="calibration" if place < calibration else "held_out",
            architecture=network,
        )
        for place, network in enumerate(networks)
    ]
    alone = dict.fromkeys(unit for network in networks[calibration:] for unit in rows(network))
    listed += [
        IsolatedRow(*numbers(true_cost_ms(unit) + OVERHEAD_MS + 2 * entry_ms(unit)), unit=unit)
        for unit in alone
    ]
    return Table(
        device="simulated",
        protocol=PROTOCOL_VERSION,
        statistic=0.1,
        across_rounds=0.5,
        variation={"0.1": noise},
        drift=(1.0,) * 5,
        noise_floor=noise,
        minutes=1.0,
        rows=tuple(listed),
    )


def in_chains_ms(predictor, units):
    """Return what members say of units as they are timed, without what a network adds, `(n, members)`."""
    part = predictor.measured
    operations = np.array([[len(unit.operations)] for unit in units])
    return (predictor.unit_costs(units) - part.operation_ms * operations) / part.scale


class SimulatedPhone:
    """What is modelled of the iPhone 12, up to 15 % off from unit to unit: 0.38 ms a call.

    Units cost 3 to 60 µs: the opposite of the device above, whose units are dearer than its calls.
    """

    def __init__(self):
        from repvit_nas import data
        from repvit_nas.predictors.predictor import read_predictor

        self.modelled = read_predictor(
            data.shipped_root() / "predictors" / "iphone12" / "predictor.json"
        )
        self._known = {}

    def unit_ms(self, unit):
        if unit not in self._known:
            wave = 1 + 0.15 * math.sin(3 * math.log2(unit.macs + 1))
            self._known[unit] = wave * float(self.modelled.unit_costs([unit]).mean())
        return self._known[unit]

    def latency_ms(self, units):
        overhead = float(self.modelled.overheads_ms.mean())
        return overhead + sum(times * self.unit_ms(unit) for unit, times in units)


def quiet(*_):
    """Show no progress."""


def session_in(folder, **truth):
    """Open a session on a device of such a truth."""
    folder.mkdir(parents=True, exist_ok=True)
    runner = SimulatedRunner(folder / "visits.jsonl", **truth)
    session = Session(folder, runner, clock=runner.clock)
    session.claim("simulated", "", SPEC, 224)
    return session
