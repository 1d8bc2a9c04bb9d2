"""A whole search against what Optuna itself needs for as many trials that do nothing.

Promise: 2,000 trials take at most 1.3 times Optuna's own time plus one second.
"""

import itertools
import tempfile
from pathlib import Path

from interleaved import medians

ROUNDS = 5
TRIALS = 2000
ALLOWED_RATIO, ALLOWED_EXTRA_S = 1.3, 1.0


def main() -> None:
    """Print both times and the promise."""
    import optuna

    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings

    settings = Settings(budgets_ms={"iphone12": 1.0}, trials=TRIALS)
    inputs = load_inputs(settings)
    space = inputs.space
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

        def ours() -> None:
            search(settings, inputs, Path(folder) / str(next(runs)), render)

        took = medians({"search": ours, "optuna": optuna_alone}, ROUNDS)
    allowed = ALLOWED_RATIO * took["optuna"] + ALLOWED_EXTRA_S
    print(f"search, {TRIALS:,} trials, improved and written: {took['search']:.2f} s")
    print(f"Optuna, {TRIALS:,} trials of a no-op:             {took['optuna']:.2f} s")
    print(
        f"ratio {took['search'] / took['optuna']:.2f}; allowed {ALLOWED_RATIO} x + "
        f"{ALLOWED_EXTRA_S:g} s = {allowed:.2f} s, used {took['search'] / allowed:.0%} of it"
    )


if __name__ == "__main__":
    main()
