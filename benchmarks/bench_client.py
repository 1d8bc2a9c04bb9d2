"""What does the phone's client itself cost a visit, the phone and its tools taken away?

    python benchmarks/bench_client.py

Loads, times and unloads a program on a phone that answers at once, and prints the milliseconds of one
visit: messages, answers, the input tensor, the compiled program's look-up.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repvit_nas.coreml.app import Phone
from repvit_nas.coreml.building import Built
from repvit_nas.coreml.discovery import Connected
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.coreml.xcrun import Done, Process
from repvit_nas.programs import Program, chain
from repvit_nas.units import Block

VISITS = 100
DEVICE = Connected(
    "id", "udid", "iPhone", "iPhone13,2", "26.0", "23A1",
    physical=True, paired=True, developer_mode=True, tunnel=True,
)  # fmt: skip


class Console:
    """The app, which never ends."""

    def poll(self) -> int | None:
        """Say that it runs."""
        return None

    def said(self) -> str:
        """Say nothing."""
        return ""

    def stop(self) -> None:
        """Do nothing."""


class Instant:
    """Apple's tools without any work: every message has its answer at once."""

    def __init__(self) -> None:
        self._model = ""

    def run(self, words: list[str], timeout_s: float) -> Done:  # noqa: ARG002
        """Answer."""
        if words[0] == "coremlcompiler":
            (Path(words[3]) / f"{Path(words[2]).stem}.mlmodelc").mkdir()
            return Done(0, "", "")
        if words[2:4] == ["copy", "from"]:
            target = Path(words[words.index("--destination") + 1])
            result = {"modelID": "m", "duration": 1_000_000, "durations": [1_000_000] * 80}
            plan: dict[str, Any] = {"infos": []}
            target.write_text(json.dumps({"result": result | plan}))
        answer = Path(words[words.index("--json-output") + 1])
        answer.write_text('{"info": {"outcome": "success"}, "result": {}}')
        return Done(0, "", "")

    def start(self, words: list[str]) -> Process:  # noqa: ARG002
        """Be the app."""
        return Console()


def write(folder: Path, timed: Sequence[Program], _: object) -> None:
    """Make empty packages."""
    for program in timed:
        (folder / f"{program_name(program)}.mlpackage").mkdir()


def main() -> None:
    """Time visits."""
    apple = Instant()
    timed = chain(Block(48, 96, 16, 3, 56), 6)
    with tempfile.TemporaryDirectory() as folder:
        built = Built(Path(folder), "bundle", loop=True, fresh=True)
        phone = Phone(apple, DEVICE, built, sleep=lambda _: None)
        phone.start()
        runner = CoreMlRunner(
            phone,
            Path(folder),
            writer=write,
            shape=lambda unit: (48, 56, 56),  # noqa: ARG005
        )
        seconds = []
        busy = time.process_time()
        for _ in range(VISITS):
            start = time.perf_counter()
            with runner.load(timed) as calls:
                calls(60)
            seconds.append(time.perf_counter() - start)
        busy = time.process_time() - busy
    seconds.sort()
    print(
        f"one visit costs the client {1e3 * seconds[VISITS // 2]:.1f} ms (median of {VISITS}; 90 % "
        f"below {1e3 * seconds[int(0.9 * VISITS)]:.1f} ms), {1e3 * busy / VISITS:.1f} ms of them "
        "processor time"
    )


if __name__ == "__main__":
    main()
