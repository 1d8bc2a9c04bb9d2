"""How long the page of a run of 2,000 networks takes to write and, in headless Chromium, to open.

python benchmarks/bench_report.py
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from repvit_nas import data, files
from repvit_nas.predictors.breakdown import breakdown
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.page import page
from repvit_nas.report.panels import front_panel
from repvit_nas.search_space.peers import peers
from repvit_nas.searching.records import FRONT_FILE, Result, read_run

NETWORKS = 2000
ROUNDS = 5


def main() -> None:
    """Print the medians."""
    folder = data.find("results", "iphone12-1.0ms", "run").path
    result = files.read_json(folder / FRONT_FILE, Result)
    front = tuple(
        msgspec.structs.replace(
            entry, architecture=msgspec.structs.replace(entry.architecture, name=f"network-{place}")
        )
        for place, entry in enumerate((result.front * NETWORKS)[:NETWORKS])
    )
    result = msgspec.structs.replace(result, front=front)
    predictor, _ = load_predictor("iphone12")
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        costs = breakdown([entry.architecture for entry in front], predictor)
        panel = front_panel(
            str(folder),
            result,
            read_run(folder),
            costs={"iphone12": costs},
            family={},
            peers=peers(),
        )
        content = page([panel])
        seconds.append(time.perf_counter() - start)
    print(f"page of {NETWORKS:,} networks: {statistics.median(seconds):.2f} s, 5 s promised")
    print(f"size: {len(content) / 1e6:.1f} MB, 8 MB promised")
    chromium = shutil.which("chromium")
    if chromium is None:
        print("opened: no chromium here")
        return
    from playwright.sync_api import sync_playwright

    opened = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        path = Path(name) / "report.html"
        path.write_bytes(content)
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(ROUNDS):
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(path.as_uri())
            tab.wait_for_selector("html[data-ready=yes]")
            opened.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    print(f"opened until it answers: {statistics.median(opened):.2f} s, 2 s promised")


if __name__ == "__main__":
    main()
