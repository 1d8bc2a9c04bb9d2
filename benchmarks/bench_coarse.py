"""The coarse space: the exact front, and how near to it a search gets.

Promise: the exact front in under 5 seconds and 2 GiB; Optuna with local improvement reaches 99.9 %
of its hypervolume. Optuna alone and random sampling with equal trials stand beside.
"""

import resource
import statistics
from typing import TYPE_CHECKING

from interleaved import medians

if TYPE_CHECKING:
    from repvit_nas.searching.settings import Sampler

SEEDS = 5
TRIALS = 2000


def main() -> None:
    """Print time, memory and shares of the exact hypervolume."""
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.searching.exact import exact_front, shares
    from repvit_nas.searching.front import front_of
    from repvit_nas.searching.improve import improve
    from repvit_nas.searching.problem import Problem
    from repvit_nas.searching.run import reachable_references
    from repvit_nas.searching.settings import Settings
    from repvit_nas.searching.study import run_study

    space, _ = load_space("coarse")
    predictor, _ = load_predictor("iphone12")

    def problem(seed: int, sampler: "Sampler" = "nsga2") -> Problem:
        settings = Settings(
            space="coarse", budgets_ms={"iphone12": 1.0}, seed=seed, sampler=sampler, trials=TRIALS
        )
        return Problem(space, [predictor], load_family_estimator(), settings)

    first = problem(0)
    took = medians({"exact": lambda: exact_front(first)}, 3)["exact"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    exact = exact_front(first)
    print(
        f"exact front of {space.size:,} networks: {len(exact.choices)} networks, {took:.2f} s, {peak:.2f} GiB"
    )

    optuna, improved, chance = [], [], []
    for seed in range(SEEDS):
        searched, sampled = problem(seed), problem(seed, "random")
        references = reachable_references(searched)
        proposed = front_of(searched, run_study(searched, start=references).choices)
        better = improve(searched, proposed, front_of(searched, references)).front
        reached = shares(exact, proposed, better)
        optuna.append(reached.optuna)
        improved.append(reached.improved)
        drawn = front_of(sampled, run_study(sampled, start=references).choices)
        chance.append(shares(exact, drawn, drawn).optuna)
    for name, values in (
        ("Optuna and improvement", improved),
        ("Optuna alone", optuna),
        ("random sampling", chance),
    ):
        print(
            f"{name + ',':<24} {TRIALS:,} trials, {SEEDS} seeds: median {statistics.median(values):.4%}, "
            f"least {min(values):.4%} of the exact hypervolume"
        )
    print(
        f"ratio of Optuna alone to random: {statistics.median(optuna) / statistics.median(chance):.3f}"
    )


if __name__ == "__main__":
    main()
