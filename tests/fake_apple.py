"""The stand-in for xcrun of tests/bin, in this process or on the path."""

import importlib.machinery
import importlib.util
import io
import json
from pathlib import Path

import msgspec
from simulated import true_latency_ms

from repvit_nas.coreml.discovery import Connected
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.xcrun import Done

BIN = Path(__file__).parent / "bin"
_LOADER = importlib.machinery.SourceFileLoader("fake_xcrun", str(BIN / "xcrun"))
_SPEC = importlib.util.spec_from_loader("fake_xcrun", _LOADER)
fake = importlib.util.module_from_spec(_SPEC)
_LOADER.exec_module(fake)

# The lines of Apple's ModelService.swift that the warm loop replaces, and nothing else of it.
from repvit_nas.coreml.building import _LOOP, SERVICE, WORKSPACE

SWIFT = "\n// ...\n".join(place for place, _ in _LOOP)
PHONE = Connected(
    fake.IDENTIFIER.format(0), fake.UDID.format(0), "iPhone", "iPhone13,2", "26.5.2", "23F84",
    physical=True, paired=True, developer_mode=True, tunnel=True,
)  # fmt: skip


class FakeProcess:
    def __init__(self, home):
        self.home = home
        self.stopped = False
        self.out = io.StringIO()

    def poll(self):
        return 1 if self.stopped or (self.home / "dead").exists() else None

    def said(self):
        return self.out.getvalue()

    def stop(self):
        self.stopped = True


class FakeApple:
    """Runs the stand-in in this process: quick enough for whole sessions."""

    def __init__(self, home, **faults):
        self.home = home
        self.home.mkdir(parents=True, exist_ok=True)
        self.started = []
        self.set(**faults)

    def set(self, **faults):
        (self.home / "faults.json").write_text(json.dumps(faults))

    def run(self, words, timeout_s):  # noqa: ARG002
        out, err = io.StringIO(), io.StringIO()
        code = fake.main(words, self.home, out, err)
        return Done(code, out.getvalue(), err.getvalue())

    def start(self, words):  # noqa: ARG002
        process = FakeProcess(self.home)
        mac = fake.Mac(self.home, process.out, process.out)
        (self.home / "dead").unlink(missing_ok=True)
        (self.home / "n_messages").unlink(missing_ok=True)
        if mac.faults["locked"]:
            process.out.write("Unable to launch because the device was not unlocked.")
            process.stopped = True
        self.started.append(process)
        return process

    def calls(self, *begin):
        lines = (self.home / "calls.log").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [words for words in calls if words[: len(begin)] == list(begin)]


def app_source(folder, text=SWIFT):
    """Write what the build needs of the app's source."""
    (folder / WORKSPACE).mkdir(parents=True, exist_ok=True)
    (folder / SERVICE).parent.mkdir(parents=True, exist_ok=True)
    (folder / SERVICE).write_text(text)
    return folder


def simulated_packages(folder, programs, progress):
    """Write packages for which the stand-in takes as long as the simulated device does."""
    for program in programs:
        package = folder / f"{program_name(program)}.mlpackage"
        if not package.is_dir():
            simulated_package(program, package)


def simulated_package(program, package):
    package.mkdir(parents=True)
    (package / "program.json").write_bytes(msgspec.json.encode(program))
    sim = {"latency_ms": true_latency_ms(program.units)}
    (package / "sim.json").write_text(json.dumps(sim))
