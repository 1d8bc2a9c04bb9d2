"""Measure this machine from scratch and say how far off predictions of unseen networks are.

    python benchmarks/bench_measure.py [MINUTES [UNITS]]

Prints predictor and baselines side by side on the same networks in the same run, and the ratio of
the predictor's error to the noise floor. Nothing is kept.
"""

import sys
import tempfile
from pathlib import Path

from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.machine import processor
from repvit_nas.measuring.campaign import Wishes, first_plan, measure
from repvit_nas.measuring.runners import open_runner
from repvit_nas.measuring.session import Limits, Session
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.held_out import evaluate
from repvit_nas.predictors.metrics import MACS, PREDICTOR
from repvit_nas.report.held_out import score_table, summary
from repvit_nas.report.tables import markdown
from repvit_nas.search_space.space import load_space


def main() -> None:
    """Measure, fit, compare."""
    given = [float(word) for word in sys.argv[1:]]
    minutes, units = [*given, *(10.0, 240.0)[len(given) :]]
    space, _ = load_space("repvit")
    spec = RuntimeSpec("onnxruntime")
    runner = open_runner(spec)
    wishes = Wishes(units=int(units), calibration=20, held_out=40, isolated=True, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder), runner)
        first = first_plan(space, wishes)
        session.claim("bench", "", spec, first.resolution)
        plan = session.plan(first)
        table = measure(
            session, plan, space, wishes, limits=Limits(minutes, 0.005), progress=lambda *_: None
        )
    learning = learn(table, assumptions_for(table))
    title = f"{processor()}, {runner.circumstances()['runtime']}, 1 thread"
    found = evaluate(title, table, learning.predictor, table.networks("held_out"))
    print(title)
    print(markdown(score_table(found)), end="")
    print(summary(found))
    error = found.scores[PREDICTOR].rmspe
    print(f"ratio to MACs alone: {error / found.scores[MACS].rmspe:.2f}")
    if found.noise_floor:
        print(f"ratio to the noise floor: {error / found.noise_floor:.2f} (1.5 is the aim)")


if __name__ == "__main__":
    main()
