"""A whole search with one to four devices, and with 20 and 40 widths a stage: time and memory.

Promise: four devices take at most 30 s of a processor and 500 MiB.

python benchmarks/bench_growth.py [--devices 1 --widths 40]
"""

import argparse
import contextlib
import json
import re
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


def widened(widths: int) -> None:
    """Leave the space with so many widths a stage in the working directory."""
    stages = iter(range(4))

    def wanted(_: re.Match[str]) -> str:
        stage = next(stages)
        least, step = 16 << stage, 8 << max(0, stage - 1)
        return f"width = {{ min = {least}, max = {least + step * (widths - 1)}, step = {step} }}"

    text = (ROOT / "search_space" / "repvit.toml").read_text()
    Path("wide.toml").write_text(re.sub(r"(?m)^width = .*", wanted, text))


def one(devices: int, widths: int) -> None:
    """Search in this process, and print what it took."""
    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        make_up()
        budgets = dict(list(BUDGETS_MS.items())[:devices])
        settings = Settings(budgets_ms=budgets, trials=TRIALS)
        if widths:
            widened(widths)
            settings = Settings(budgets_ms=budgets, trials=TRIALS, space="wide.toml")
        began, spent = time.monotonic(), time.process_time()
        inputs = load_inputs(settings, foreign=True)
        found = search(settings, inputs, Path("run"), render).result
        took, processor = time.monotonic() - began, time.process_time() - spent
        size = sum(path.stat().st_size for path in Path("run").rglob("*") if path.is_file())
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    what = f"{widths} widths a stage" if widths else f"{devices} device{'s'[: devices > 1]}"
    print(
        f"{what:18} {took:6.1f} s, {processor:5.1f} s of a processor, {mib:4.0f} MiB; "
        f"{len(found.front):5,} networks shown of {found.whole or len(found.front):6,}, "
        f"{size / 1e6:.1f} MB"
    )
    if devices == len(BUDGETS_MS):
        kept = "kept" if processor <= ALLOWED_S and mib <= ALLOWED_MIB else "not kept"
        print(f"promised {ALLOWED_S:g} s of a processor and {ALLOWED_MIB:g} MiB: {kept}")


def main() -> None:
    """Print a line for each number of devices, then for each number of widths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--widths", type=int)
    asked = parser.parse_args()
    if asked.widths is not None:
        one(asked.devices, asked.widths)
        return
    for devices, widths in [*((n, 0) for n in range(1, len(BUDGETS_MS) + 1)), (1, 20), (1, 40)]:
        # Each in a process of its own, for its memory.
        words = ["--devices", str(devices), "--widths", str(widths)]
        subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
