"""How long, and in how much memory, is the default plan for a phone exported and checked?

    python benchmarks/bench_export.py

Prints one line: programs, wall seconds, seconds of processor time, and the largest process.
"""

import resource
import tempfile
import time
from pathlib import Path

from repvit_nas.phone.exporting import CALIBRATION, HELD_OUT, UNITS, device_plan, export
from repvit_nas.phone.products import products
from repvit_nas.predictors.campaign import Wishes
from repvit_nas.search_space.space import load_space


def main() -> None:
    """Export into a temporary folder."""
    space, _ = load_space("repvit")
    start = time.perf_counter()
    plan = device_plan(
        space, Wishes(UNITS, CALIBRATION, HELD_OUT, isolated=False, seed=0), at_once=True
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest = export(Path(folder), plan, products()["iphone12"])
        wall = time.perf_counter() - start
    own, workers = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    busy = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
    print(
        f"{len(manifest.programs)} programs in {wall:.0f} s ({busy:.0f} s of processor time); this "
        f"process {own.ru_maxrss / 1024:.0f} MiB, the largest worker {workers.ru_maxrss / 1024:.0f} "
        f"MiB; worst unit {max(entry.rms for entry in manifest.programs):.1e} from torch"
    )


if __name__ == "__main__":
    main()
