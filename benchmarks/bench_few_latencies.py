"""How far off a device is that is known from a few networks, and like another one.

Random rows of a device are given, and all its others predicted:

    python benchmarks/bench_few_latencies.py --draws 5
"""

import argparse

import numpy as np

from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_observations
from repvit_nas.latency_lut.table import TABLE_FILE, read_table
from repvit_nas.predictors.cross_validation import LOOKALIKES
from repvit_nas.predictors.fit_like import learn_like
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.table_observations import network_observations

SIZES = (1, 3, 8, 20)
# The device, and which one it is taken to be like.
TRIED = (("cpu-epyc", "iphone12"), ("iphone12", "cpu-epyc"), ("iphone13", "iphone12"))


def known_of(device: str) -> list[Observation]:
    """Return the whole networks that are known of a device, of RepViT's shapes."""
    loaded = load_device(device)
    if loaded.path(TABLE_FILE).is_file():
        table = read_table(loaded.path(TABLE_FILE))
        return network_observations(
            table, [*table.networks("calibration"), *table.networks("held_out")]
        )
    published = read_observations(loaded.path(PUBLISHED_FILE))
    return [item for item in published if item.family in LOOKALIKES]


def main() -> None:
    """Print errors and coverage by device and number of given rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    for device, like in TRIED:
        base, _ = load_predictor(like, foreign=True)
        rows = known_of(device)
        for size in (size for size in SIZES if 2 * size <= len(rows)):
            rng = np.random.default_rng(1)
            errors, inside = [], []
            for _ in range(draws):
                order = rng.permutation(len(rows))
                learning, _ = learn_like(device, [rows[row] for row in order[:size]], None, base)
                for row in order[size:]:
                    item = rows[row]
                    totals = learning.predictor.totals(dict(item.units))
                    mean, variance = float(totals.mean()), float(totals.var())
                    variance += item.error_ms**2  # of the figure that it is compared with
                    half = learning.predictor.half_width(mean, variance, item.resolution)
                    errors.append(abs(mean / item.latency_ms - 1))
                    inside.append(abs(mean - item.latency_ms) <= half)
            print(
                f"{device} like {like}, {size} rows: mean error {100 * np.mean(errors):.0f} %, "
                f"{100 * np.mean(inside):.0f} % inside the 90 % interval"
            )


if __name__ == "__main__":
    main()
