"""Every command that writes: one writer at a time, and nothing through a link that leads out."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from writers import NOTHING, ONE_FILE, SHIPPED_RUN, TRAINS, WRITERS

from repvit_nas.commands import COMMANDS
from repvit_nas.folders import held


def test_every_command_is_told_by_what_it_writes():
    written = {name.split()[0] for name in WRITERS}

    assert written | ONE_FILE | NOTHING | TRAINS == set(COMMANDS)
    assert not written & NOTHING


@pytest.mark.parametrize(
    ("command", "link"), [(name, link) for name, item in WRITERS.items() for link in item.links]
)
def test_no_command_writes_through_a_link_that_leaves_its_folder(command, link, invoke, outside):
    item, path = WRITERS[command], Path(link)
    item.lay()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    path.symlink_to(outside / "kept.json" if path.suffix else outside)
    before = everything()

    code, _, err = invoke(*item.words.split())

    assert code == 1
    assert re.search(r"is a link|leads out of", err), err
    assert everything() == before


def test_a_page_takes_the_place_of_a_link_and_leaves_what_that_means(invoke, outside):
    Path("report.html").symlink_to(outside / "kept.json")

    code, _, err = invoke("report", SHIPPED_RUN, "--overwrite")

    assert code == 0, err
    assert not Path("report.html").is_symlink()


@pytest.mark.parametrize(
    "words", ["predict repvit_m0_9", "family", "devices", "compare repvit_m0_9 repvit_m1_0"]
)
def test_what_only_tells_leaves_nothing(words, invoke, outside):
    assert invoke(*words.split())[0] == 0
    assert everything() == {}


HOLDER = """
import sys
from pathlib import Path
from repvit_nas.folders import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def other():
    """Another process that holds a folder."""
    begun = []

    def hold(folder):
        words = [sys.executable, "-c", HOLDER, folder]
        begun.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert begun[-1].stdout.readline() == "held\n"
        return begun[-1]

    yield hold
    for process in begun:
        process.communicate("\n")


@pytest.mark.parametrize("command", [name for name, item in WRITERS.items() if not item.waits])
def test_a_command_keeps_out_of_a_folder_that_another_process_writes(command, invoke, other):
    item = WRITERS[command]
    item.lay()
    process = other(item.folder)
    before = everything()

    code, _, err = invoke(*item.words.split())

    assert code == 1
    assert f"process {process.pid} is writing here" in err
    assert everything() == before


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name, item in WRITERS.items() if item.waits])
def test_a_command_of_several_waits_for_the_one_that_writes(command, elsewhere):
    item = WRITERS[command]
    item.lay()
    words = [sys.executable, "-m", "repvit_nas", *item.words.split()]
    with held(Path(item.folder)):
        before = everything()
        process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(8)
        assert process.poll() is None
        assert everything() == before
    deadline = time.monotonic() + 60
    while everything().keys() <= before.keys() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.communicate()

    assert everything().keys() > before.keys()


RACER = """
import sys
from pathlib import Path
from repvit_nas.folders import held
folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
input()
for _ in range(rounds):
    with held(folder, wait_s=60):
        path = folder / "count"
        count = int(path.read_text()) if path.exists() else 0
        path.write_text(str(count + 1))
"""


def test_of_processes_that_race_for_a_folder_one_has_it_at_a_time(tmp_path):
    """Each adds one to a number, many times; what two did at once would be lost."""
    rounds = 15
    words = [sys.executable, "-c", RACER, str(tmp_path / "run"), str(rounds)]
    racers = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate()
        assert racer.returncode == 0

    assert (tmp_path / "run" / "count").read_text() == str(3 * rounds)


def everything() -> dict[str, bytes]:
    """Return the files of the working directory by path, lock files left out."""
    return {
        str(path): b"" if path.is_symlink() else path.read_bytes()
        for path in sorted(Path().rglob("*"))
        if (path.is_file() or path.is_symlink()) and path.name not in (".lock", ".holder")
    }
