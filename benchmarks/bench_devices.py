"""A whole search with one to four devices: time, memory, and what is left of it.

Promise: four devices take at most 30 s of a processor and 500 MiB.

python benchmarks/bench_devices.py [--devices 4]
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRIALS = 2000
# Of a fourth device, made up: one that computes fast and moves data slowly, beside the third.
MADE_UP, LIKE = "phone4", "iphone13"
_OTHER_COSTS = (0.5, 1.6, 1.3)
BUDGETS_MS = {"iphone12": 1.0, "iphone13": 0.9, "cpu-epyc": 20.0, MADE_UP: 1.0}
ALLOWED_S, ALLOWED_MIB = 30.0, 500.0


def make_up() -> None:
    """Leave a fourth device in the working directory."""
    from repvit_nas.latency_lut.device import load_device

    for shelf in ("latency_lut", "predictors"):
        shutil.copytree(ROOT / shelf / LIKE, Path(shelf) / MADE_UP)
    device = Path("latency_lut") / MADE_UP / "device.json"
    device.write_text(json.dumps(json.loads(device.read_text()) | {"device": MADE_UP}))
    predictor = Path("predictors") / MADE_UP / "predictor.json"
    document = json.loads(predictor.read_text()) | {"device": MADE_UP}
    document["fitted_on"]["digest"] = load_device(MADE_UP).digest()
    for member in document["members"]:
        pairs = zip(member["coefficients"], _OTHER_COSTS, strict=False)
        member["coefficients"] = [value * factor for value, factor in pairs]
    predictor.write_text(json.dumps(document))


def one(devices: int) -> None:
    """Search with so many devices in this process, and print what it took."""
    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        make_up()
        settings = Settings(budgets_ms=dict(list(BUDGETS_MS.items())[:devices]), trials=TRIALS)
        inputs = load_inputs(settings, foreign=True)
        began, spent = time.monotonic(), time.process_time()
        found = search(settings, inputs, Path("run"), render).result
        took, processor = time.monotonic() - began, time.process_time() - spent
        size = sum(path.stat().st_size for path in Path("run").rglob("*") if path.is_file())
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{devices} {'device ' if devices == 1 else 'devices'} {took:6.1f} s, {processor:6.1f} s of a "
        f"processor, {mib:4.0f} MiB; {len(found.front):5,} networks shown of "
        f"{found.whole or len(found.front):6,}, "
        f"{size / 1e6:.1f} MB"
    )
    if devices == len(BUDGETS_MS):
        kept = processor <= ALLOWED_S and mib <= ALLOWED_MIB
        print(
            f"promised {ALLOWED_S:g} s of a processor and {ALLOWED_MIB:g} MiB: {'kept' if kept else 'not kept'}"
        )


def main() -> None:
    """Print a line for each number of devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int)
    asked = parser.parse_args()
    if asked.devices is not None:
        one(asked.devices)
        return
    for devices in range(1, len(BUDGETS_MS) + 1):  # each in a process of its own, for its memory
        words = [sys.executable, __file__, "--devices", str(devices)]
        subprocess.run(words, check=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})


if __name__ == "__main__":
    main()
