"""How long, and in how much memory, is the default plan for a phone exported and checked?

    python benchmarks/bench_export.py

Prints programs, wall seconds, seconds of processor time (which other programs on the machine disturb
less), and the most memory that all processes held together. Memory that processes share counts once (the
sum of their proportional set sizes, once a second), which only Linux tells.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

from repvit_nas.coreml.exporting import CALIBRATION, HELD_OUT, UNITS, device_plan, export
from repvit_nas.coreml.products import products
from repvit_nas.measuring.campaign import Wishes
from repvit_nas.search_space.space import load_space

PROMISED_S = 600
PROMISED_GIB = 2.0
INTERVAL_S = 1.0


def family(root: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents.setdefault(int(words[1]), []).append(int(entry.parent.name))
    found, new = [], [root]
    while new:
        found += new
        new = [child for parent in new for child in parents.get(parent, [])]
    return found


def held_mib(process: int) -> float:
    """Return the proportional set size of a process in MiB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def busy_s(process: int) -> float:
    """Return the seconds of processor time that a process has used; 0 if it has ended."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Watch(threading.Thread):
    """Notes what this process and all it started hold together at most, and how long each is busy."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self.busy: dict[int, float] = {}
        self.processes = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(INTERVAL_S):
            members = family(os.getpid())
            for process in members:
                self.busy[process] = max(self.busy.get(process, 0.0), busy_s(process))
            held = sum(held_mib(process) for process in members)
            if held > self.most:
                self.most, self.processes = held, len(members)

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()


def main() -> None:
    """Export into a temporary folder."""
    watch = Watch()
    space, _ = load_space("repvit")
    watch.start()
    start = time.perf_counter()
    plan = device_plan(
        space, Wishes(UNITS, CALIBRATION, HELD_OUT, isolated=False, seed=0), at_once=True
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest = export(Path(folder), plan, products()["iphone12"])
        wall = time.perf_counter() - start
        busy = sum(watch.busy.values())
        again = time.perf_counter()
        export(Path(folder), plan, products()["iphone12"])
        again = time.perf_counter() - again
    watch.stop()
    print(
        f"{len(manifest.programs)} programs in {wall:.0f} s (promised {PROMISED_S}), {busy:.0f} s "
        f"of processor time; at most {watch.most / 1024:.2f} GiB in {watch.processes} processes "
        f"together (promised {PROMISED_GIB:g}); again, with all of it there: {again:.1f} s; worst "
        f"unit {max(entry.rms for entry in manifest.programs):.1e} from torch"
    )


if __name__ == "__main__":
    main()
