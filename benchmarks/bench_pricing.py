"""Networks priced a second as arrays, against one after the other, on one core.

Promise: 500,000 a second, latency with interval and accuracy with deviation; a single prediction
under 100 microseconds.
"""

from interleaved import medians

ROUNDS = 5
ARRAY, SINGLE = 500_000, 1_000


def main() -> None:
    """Print networks a second, and the time of a single one."""
    import numpy as np

    import repvit_nas
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space import load_space
    from repvit_nas.searching.problem import Problem
    from repvit_nas.searching.settings import Settings
    from repvit_nas.shapes import shapes_of

    space, _ = load_space("repvit")
    predictor, _ = load_predictor("iphone12")
    estimator = load_family_estimator()
    problem = Problem(space, [predictor], estimator, Settings(budgets_ms={"iphone12": 1.0}))
    choices = space.sample(np.random.default_rng(0), ARRAY)
    shapes = space.decode(choices[:SINGLE])
    singles = [shapes.architecture(row) for row in range(SINGLE)]

    def one_by_one() -> None:
        for architecture in singles:
            predictor.estimate(architecture)
            estimator.estimate(shapes_of([architecture]))

    took = medians(
        {
            "array": lambda: problem.score(choices),
            "quick": lambda: problem.objectives_at(choices),
            "single": one_by_one,
            "public": lambda: [repvit_nas.predict(architecture) for architecture in singles],
            "predict": lambda: [predictor.estimate(architecture) for architecture in singles],
        },
        ROUNDS,
    )
    array, single = ARRAY / took["array"], SINGLE / took["single"]
    print(
        f"as arrays, with intervals:    {array:>11,.0f} networks/s ({array / 500_000:.1f} x promise)"
    )
    print(f"as arrays, objectives only:   {ARRAY / took['quick']:>11,.0f} networks/s")
    print(f"one after the other:          {single:>11,.0f} networks/s; ratio {array / single:,.0f}")
    public = 1e6 * took["public"] / SINGLE
    print(f"repvit_nas.predict: {public:.0f} µs ({public / 60:.2f} x the promised 60 µs)")
    microseconds = 1e6 * took["predict"] / SINGLE
    print(f"single predict: {microseconds:.0f} µs ({microseconds / 100:.2f} x the promised 100 µs)")


if __name__ == "__main__":
    main()
