"""A folder with every program to time: what a machine without a phone can do for one.

The folder holds `plan.json` (what to time, as `measure-lut` plans it), `manifest.json` (what each
package is) and `programs/`. Latencies of the packages come back by `import-measurements`.
"""

import concurrent.futures
import gc
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.conversion.package import COMPILED_SUFFIX, SUFFIX, TARGET, package_digest
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.products import Product
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import held
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan, programs
from repvit_nas.lines import LineLog
from repvit_nas.measuring.campaign import Wishes, first_plan
from repvit_nas.programs import Program, network
from repvit_nas.quantities import Count, Deviation
from repvit_nas.search_space.space import Space
from repvit_nas.words import Progress

MANIFEST_FILE: Final = "manifest.json"
PROGRAMS_FOLDER: Final = "programs"
# What was converted, one package a line, appended as it goes: an interrupted run goes on.
CONVERTED_FILE: Final = "converted.jsonl"
# Copies in a chain on a Core ML device. The fixed part of a prediction is worth many units, so the
# lever is long; three lengths still give a slope where Core ML leaves the shortest on the CPU.
CHAIN_LENGTHS: Final = (2, 6, 16)
# What is timed where the options do not say: about 200 chains and 40 networks.
UNITS: Final = 70
HELD_OUT: Final = 26
CALIBRATION: Final = 14
# A process of its own takes as long to start as this many programs to convert.
_WORTH_A_PROCESS: Final = 8
# A worker converts so many programs before another one takes its place.
_TASKS: Final = 12
# What a server imports once for all workers: torch and coremltools are 0.6 GiB before any work.
_SHARED: Final = ["repvit_nas.conversion.preload"]

ProgramRole = Literal["chain", "sandwich", "sentinel", "calibration", "held_out"]


class ProgramEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One package of an export.

    Attributes:
        name: Of the package, without suffix; a report's file name is matched with it.
        key: The program's key.
        role: Why it is timed.
        digest: Of the package's bytes.
        size_bytes: Of its weights.
        macs: Multiply-accumulates of one image.
        operations: How often each operation occurs.
        rms: How far half precision is from torch, relative root mean square, in the worst unit.
    """

    name: files.FileName
    key: str
    role: ProgramRole
    digest: str
    size_bytes: Count
    macs: Count
    operations: dict[str, Count]
    rms: Deviation


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `manifest.json` (schema 1).

    Attributes:
        device: The device the programs are for.
        product_type: Apple's identifier of it.
        target: The oldest system that runs them.
        precision: Of weights and activations.
        coremltools: The version that converted them.
        torch: The version that defined them.
        programs: The packages, in the order of the plan.
    """

    schema: Literal[1] = 1
    device: str
    product_type: str
    target: str
    precision: str = "fp16"
    coremltools: str
    torch: str
    programs: tuple[ProgramEntry, ...]


def device_plan(space: Space, wishes: Wishes, *, at_once: bool) -> Plan:
    """Return the plan for a Core ML device.

    Args:
        space: Where networks and units come from.
        wishes: What to measure.
        at_once: Choose all units before anything is timed.
    """
    return first_plan(space, wishes, lengths=CHAIN_LENGTHS, at_once=at_once)


def roles(plan: Plan) -> dict[str, ProgramRole]:
    """Return why each program of a plan is timed, by key."""
    whole: tuple[tuple[ProgramRole, Iterable[Program]], ...] = (
        ("held_out", (network(item) for item in plan.held_out)),
        ("calibration", (network(item) for item in plan.calibration)),
        ("sentinel", (network(plan.sentinel),)),
    )
    named = {item.key: role for role, items in whole for item in items}
    found: dict[str, ProgramRole] = {}
    for key, item in planned(plan).items():
        found[key] = named.get(key, "chain" if len(item.units) == 1 else "sandwich")
    return found


def planned(plan: Plan) -> dict[str, Program]:
    """Return every program of a plan by key, the sentinel first."""
    last = max(1, plan.explored)  # from its second round on, a plan holds all its units
    first = network(plan.sentinel)
    return {first.key: first} | programs(plan, last)


def export(
    folder: Path,
    plan: Plan,
    product: Product,
    *,
    processes: int | None = None,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Write every program of a plan, checked, with plan and manifest.

    Packages that an interrupted export left are kept; see :func:`convert`.

    Args:
        folder: Where to; made if it is not there.
        plan: What to time.
        product: The device that the programs are for.
        processes: See :func:`convert`.
        progress: Told what is being done.

    Raises:
        RepvitNasError: A package does not compute what torch computes, the folder holds the export
            of another plan, or a process was ended from outside.
        FileError: The folder cannot be written.
    """
    with held(folder, otherwise="give another folder"):
        return _exported(folder, plan, product, processes, progress)


def _exported(
    folder: Path, plan: Plan, product: Product, processes: int | None, progress: Progress
) -> Manifest:
    _claim(folder, plan)
    wanted = planned(plan)
    purpose = roles(plan)
    written = convert(
        folder / PROGRAMS_FOLDER, wanted.values(), processes=processes, progress=progress
    )
    from importlib.metadata import version

    manifest = Manifest(
        device=product.device,
        product_type=product.product_type,
        target=TARGET,
        coremltools=version("coremltools"),
        torch=version("torch").partition("+")[0],
        programs=tuple(
            ProgramEntry(
                name=program_name(item),
                key=key,
                role=purpose[key],
                digest=packed.digest,
                size_bytes=packed.size_bytes,
                macs=item.macs,
                operations=packed.operations,
                rms=packed.rms,
            )
            for (key, item), packed in zip(wanted.items(), written, strict=True)
        ),
    )
    files.write_bytes(folder / MANIFEST_FILE, files.encode_lines(manifest, "programs"))
    return manifest


def _claim(folder: Path, plan: Plan) -> None:
    path = folder / PLAN_FILE
    if path.is_file() and files.read_json(path, Plan) != plan:
        raise RepvitNasError(
            f"{folder}: holds the export of another plan (--units, --networks, --calibration, "
            "--seed, --space or --resolution); give another folder"
        )
    files.write_bytes(path, files.encode_lines(plan, "units"))


class Converted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of `converted.jsonl`.

    Attributes:
        name: Of the package, without suffix.
        tools: Versions that converted it; another version's package is converted again.
        digest: Of its bytes.
        size_bytes: Of its weights.
        operations: How often each operation occurs.
        rms: How far half precision is from torch, relative root mean square, in the worst unit.
    """

    name: files.FileName
    tools: str
    digest: str
    size_bytes: Count
    operations: dict[str, Count]
    rms: Deviation


def convert(
    folder: Path,
    wanted: Iterable[Program],
    *,
    processes: int | None = None,
    each: int = _TASKS,
    tools: str = "",
    progress: Progress = lambda *_: None,
) -> list[Converted]:
    """Write the packages of programs into a folder, each checked, and return what they are.

    A package that was converted before, by the same versions, and whose bytes have the digest that
    was noted then, is taken as it is.

    Args:
        folder: Where to; made if it is not there.
        wanted: The programs.
        processes: How many convert at once; by default one, and one more for every core where
            that is faster than starting it.
        each: How many a process converts before another one takes its place.
        tools: The versions that convert; by default those that are installed.
        progress: Told what is being done.

    Raises:
        RepvitNasError: A package does not compute what torch computes, or a process was ended from
            outside; the packages that were written are kept.
        FileError: The folder cannot be written.
    """
    tools = tools or _tools()
    tasks = {program_name(item): item for item in wanted}
    log = LineLog(
        folder / CONVERTED_FILE,
        Converted,
        "converted package",
        remedy="remove the file, and the packages beside it are looked at anew",
    )
    log.mend()
    noted = {item.name: item for item in log.read()}
    found: dict[str, Converted] = {}
    for place, (name, item) in enumerate((name, noted[name]) for name in tasks if name in noted):
        progress("looking at what was converted", place + 1, len(noted))
        if item.tools == tools and _digest(folder, name) == item.digest:
            found[name] = item
        elif item.tools != tools:
            shutil.rmtree(folder / f"{name}{SUFFIX}", ignore_errors=True)
    missing = [(item, folder / name, tools) for name, item in tasks.items() if name not in found]
    for done in _written(missing, processes, each):
        found[done.name] = done
        log.append(done)
        progress("converting", len(found), len(tasks))
    return [found[name] for name in tasks]


def _tools() -> str:
    from importlib.metadata import version

    return f"coremltools {version('coremltools')}, torch {version('torch').partition('+')[0]}"


def _digest(folder: Path, name: str) -> str:
    """Return the digest of a package; nothing if it is not whole."""
    try:
        return package_digest(folder / f"{name}{SUFFIX}")
    except FileError:
        return ""


# A program, where its package goes without suffix, and the versions that convert it.
Task = tuple[Program, Path, str]


def _written(tasks: list[Task], processes: int | None, each: int) -> Iterable[Converted]:
    if processes is None:
        processes = min(os.cpu_count() or 1, 1 + len(tasks) // _WORTH_A_PROCESS)
    if processes < 1:
        raise RepvitNasError(f"processes must be 1 or more; got {processes}")
    if processes == 1:
        yield from map(_write, tasks)
        return
    # New workers every so often, since converting leaves memory behind. A pool that replaces its own
    # workers waits for ever in Python 3.11 and 3.12 when more tasks are queued.
    batch = processes * each
    for begin in range(0, len(tasks), batch):
        with concurrent.futures.ProcessPoolExecutor(
            processes, mp_context=_context(), initializer=_begin
        ) as pool:
            try:
                yield from pool.map(_write, tasks[begin : begin + batch])
            except BrokenProcessPool as error:
                # The system ends the largest process where memory runs out, and says so to nobody.
                raise RepvitNasError(
                    "a process that converted programs was ended from outside, usually because too "
                    "little memory was left; what was converted is kept: close other programs and "
                    "repeat the command, which goes on from there"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _context() -> multiprocessing.context.BaseContext:
    """Return how workers are started: without this process' threads and locks in any state.

    Where that is safe, they are forked from a server that has imported what all need and done nothing
    else, so that they share its memory. Apple's frameworks do not survive a fork.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_SHARED)
    return context


def _begin() -> None:
    """Keep a worker to one core, leave Ctrl-C to the process that started it, and end with that."""
    import signal
    import threading

    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A collection would write into every object that is shared with the server, and so copy it.
    gc.freeze()


def _end_with_parent() -> None:
    """Wait for the process that started this one; without it, a worker would wait for ever."""
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _write(task: Task) -> Converted:
    from repvit_nas.conversion.coreml import check, program_weights, write_program

    timed, stem, tools = task
    gc.collect()  # coremltools leaves programs behind that refer to themselves
    package = stem.with_name(stem.name + SUFFIX)
    compiled = stem.with_name(stem.name + COMPILED_SUFFIX)
    try:
        # A package that nobody noted is what a run left that was stopped right then.
        found = check(timed, program_weights(timed), package) if package.is_dir() else None
    except RepvitNasError:
        found = None
    if found is None:
        shutil.rmtree(compiled, ignore_errors=True)  # it was compiled from what is replaced
        found = write_program(timed, package)
    return Converted(stem.name, tools, found.digest, found.size_bytes, found.operations, found.rms)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an export.

    Raises:
        FileError: It is missing or not valid.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise FileError(
            f"{path}: cannot be read: no such file; DIR must be a folder that repvit-nas "
            "measure-lut --device NAME --export DIR wrote to its end"
        )
    return files.read_json(path, Manifest)


def read_plan(folder: Path) -> Plan:
    """Read the plan of an export.

    Raises:
        FileError: It is missing or not valid.
    """
    return files.read_json(folder / PLAN_FILE, Plan)
