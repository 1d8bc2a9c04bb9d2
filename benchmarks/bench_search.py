"""Whole searches against what Optuna itself needs for as many trials that do nothing.

Promise: 2,000 trials take at most 1.3 times Optuna's own time plus one second, whatever networks hand back.
"""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

from interleaved import medians

from repvit_nas.architecture import OutputKind

ROUNDS = 5
TRIALS = 2000
# What maps are searched for: the output, milliseconds, and the side of the input.
MAPS: tuple[tuple[OutputKind, float, int], ...] = (("features", 5.0, 512), ("sam", 30.0, 1024))
ALLOWED_RATIO, ALLOWED_EXTRA_S = 1.3, 1.0
OPTUNA = "Optuna, trials of a no-op"


def main() -> None:
    """Print both times and the promise."""
    import optuna

    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings

    asked = {"search": Settings(budgets_ms={"iphone12": 1.0}, trials=TRIALS)}
    for output, budget_ms, side in MAPS:
        asked[f"search, {output} at {side} px"] = Settings(
            budgets_ms={"iphone12": budget_ms},
            trials=TRIALS,
            output=output,
            num_classes=0,
            resolution=side,
        )
    space = load_inputs(asked["search"]).space
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    runs = itertools.count()

    def nothing(trial: optuna.Trial) -> tuple[float, float]:
        space.suggest(trial)
        return 0.0, 0.0

    def optuna_alone() -> None:
        sampler = optuna.samplers.NSGAIISampler(seed=0)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        study.optimize(nothing, n_trials=TRIALS)

    with tempfile.TemporaryDirectory() as folder:

        def ours(settings: Settings) -> Callable[[], object]:
            inputs = load_inputs(settings)
            return lambda: search(settings, inputs, Path(folder) / str(next(runs)), render)

        contestants = {name: ours(settings) for name, settings in asked.items()}
        took = medians({**contestants, OPTUNA: optuna_alone}, ROUNDS)
    allowed = ALLOWED_RATIO * took[OPTUNA] + ALLOWED_EXTRA_S
    print(
        f"{TRIALS:,} trials, improved and written; allowed {ALLOWED_RATIO} x + {ALLOWED_EXTRA_S:g} s"
    )
    for name, seconds in took.items():
        print(
            f"{name:<28} {seconds:6.2f} s, {seconds / took[OPTUNA]:.2f} x, {seconds / allowed:.0%} "
            "of what is allowed"
        )


if __name__ == "__main__":
    main()
