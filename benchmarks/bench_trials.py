"""How many trials a front needs: what local improvement reaches from few and from many.

    python benchmarks/bench_trials.py [SEEDS [TRIALS ...]]

The fronts of several seeds are merged, for every number of trials, and each is compared with the union.
"""

import sys
import time
from typing import Final

SEEDS: Final = 10
TRIALS: Final = (50, 2000, 20_000)


def main() -> None:
    """Print how much of the union of all fronts each number of trials reaches, and in what time."""
    import numpy as np

    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.searching.front import front_of, hypervolume, merged, reference_point
    from repvit_nas.searching.improve import improve
    from repvit_nas.searching.problem import Problem
    from repvit_nas.searching.run import reachable_references
    from repvit_nas.searching.settings import Settings
    from repvit_nas.searching.study import run_study

    seeds, *counts = [int(word) for word in sys.argv[1:]] or [SEEDS]
    space, predictor = load_space("repvit")[0], load_predictor("iphone12")[0]
    fronts, seconds = {}, {}
    for trials in counts or TRIALS:
        for seed in range(seeds):
            settings = Settings(budgets_ms={"iphone12": 1.0}, seed=seed, trials=trials)
            problem = Problem(space, [predictor], load_family_estimator(), settings)
            began = time.monotonic()
            start = reachable_references(problem)
            proposed = front_of(problem, run_study(problem, start=start).choices)
            fronts[trials, seed] = improve(problem, proposed, front_of(problem, start)).front
            seconds[trials, seed] = time.monotonic() - began
    whole = merged(*fronts.values())
    union = {row.tobytes() for row in whole.choices}
    reference = reference_point(whole)
    volume = hypervolume(whole.objectives, reference)
    print(f"union of {len(fronts)} fronts: {len(union):,} networks")
    for trials in counts or TRIALS:
        shares = [
            len(union & {row.tobytes() for row in fronts[trials, seed].choices}) / len(union)
            for seed in range(seeds)
        ]
        volumes = [
            hypervolume(fronts[trials, seed].objectives, reference) / volume
            for seed in range(seeds)
        ]
        took = np.median([seconds[trials, seed] for seed in range(seeds)])
        print(
            f"{trials:>7,} trials, {seeds} seeds: share of the union {min(shares):.1%} to "
            f"{max(shares):.1%}, of its hypervolume {min(volumes):.4%} to {max(volumes):.4%}, "
            f"{took:.1f} s"
        )


if __name__ == "__main__":
    main()
