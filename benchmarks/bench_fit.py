"""Write, fit and load a table of 2,000 units: seconds, and what of the promise they use.

python benchmarks/bench_fit.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from repvit_nas import files
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow, read_table, write_table
from repvit_nas.measuring.design import random_networks
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.predictor_file import FittedOn
from repvit_nas.programs import recipe
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Unit, count, rows
from repvit_nas.version import __version__

UNITS = 2000
FIT_S, LOAD_S = 20.0, 1.0


def made_up(units: int) -> Table:
    """Return a table of so many units whose costs are a plain function with noise."""
    space, _ = load_space("repvit")
    rng = np.random.default_rng(0)
    networks = random_networks(space, 600, seed=0)
    listed = list(dict.fromkeys(unit for network in networks for unit in rows(network)))[:units]

    def cost(unit: Unit) -> float:
        return 0.01 + unit.macs / 30e6 + unit.bytes_moved / 4e7

    def numbers(value: float) -> tuple[float, float, float, float, int]:
        noisy = value * float(np.exp(0.02 * rng.standard_normal()))
        return noisy, 0.02 * noisy, 0.97 * noisy, 1.03 * noisy, 5

    timed = [UnitRow(*numbers(cost(u)), unit=u, calls=recipe(u).calls) for u in listed]
    whole = [
        NetworkRow(
            *numbers(sum(n * cost(u) for u, n in count(rows(net)).items())),
            role="calibration",
            architecture=net,
        )
        for net in networks[:20]
    ]
    return Table(
        device="bench",
        protocol=PROTOCOL_VERSION,
        statistic=0.1,
        across_rounds=0.5,
        variation={"0.1": 0.02},
        drift=(1.0,),
        noise_floor=0.02,
        minutes=1.0,
        rows=(*timed, *whole),
    )


LOADING = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from repvit_nas.predictors.predictor import read_predictor
from repvit_nas.search_space import family
read_predictor(Path(sys.argv[1])).estimate(family()["repvit_m1_0"].architecture)
seconds = time.perf_counter() - start
assert not {"torch", "sklearn"} & sys.modules.keys()
print(seconds)
"""


def main() -> None:
    """Time each step."""
    table = made_up(UNITS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        write_table(folder / "table.json", table)
        written = time.perf_counter() - start
        start = time.perf_counter()
        again = read_table(folder / "table.json")
        read = time.perf_counter() - start
        start = time.perf_counter()
        learning = learn(again, assumptions_for(again))
        fitted = time.perf_counter() - start
        files.write_bytes(folder / "residual.npz", learning.arrays)
        fitted_on = FittedOn(learning.observations, "", "", __version__)
        file = learning.predictor.file(fitted_on)
        files.write_bytes(folder / "predictor.json", files.encode_lines(file, "members"))
        loads = [
            float(
                subprocess.run(
                    [sys.executable, "-c", LOADING, str(folder / "predictor.json")],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(5)
        ]
    loaded = float(np.median(loads))
    print(f"table of {len(table.units):,} units: written {written:.2f} s, read {read:.2f} s")
    print(f"fit: {fitted:.1f} s ({fitted / FIT_S:.0%} of the promised {FIT_S:.0f} s)")
    print(
        f"load and first prediction: {loaded:.2f} s ({loaded / LOAD_S:.0%} of the promised "
        f"{LOAD_S:.0f} s), without scikit-learn and torch"
    )


if __name__ == "__main__":
    main()
