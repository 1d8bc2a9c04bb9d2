"""A folder with every program to time: what a machine without a phone can do for one.

The folder holds `plan.json` (what to time, as `measure-lut` plans it), `manifest.json` (what each
package is) and `programs/`. Latencies of the packages come back by `import-measurements`.
"""

import concurrent.futures
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan, programs
from repvit_nas.latency_lut.programs import Program, network
from repvit_nas.phone.naming import program_name
from repvit_nas.phone.products import Product
from repvit_nas.predictors.campaign import Wishes, first_plan
from repvit_nas.search_space.space import Space

MANIFEST_FILE: Final = "manifest.json"
PROGRAMS_FOLDER: Final = "programs"
# Copies in a chain on a Core ML device. The fixed part of a prediction is worth many units, so the
# lever is long; three lengths still give a slope where Core ML leaves the shortest on the CPU.
CHAIN_LENGTHS: Final = (2, 6, 16)
# What is timed where the options do not say: about 200 chains and 40 networks.
UNITS: Final = 70
HELD_OUT: Final = 26
CALIBRATION: Final = 14
# A process of its own takes as long to start as this many programs to convert.
_WORTH_A_PROCESS: Final = 8
# A worker that has converted so many programs is replaced: coremltools keeps memory.
_TASKS: Final = 40

Progress = Callable[[str, int, int], None]
Role = Literal["chain", "sandwich", "sentinel", "calibration", "held_out"]


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

    name: str
    key: str
    role: Role
    digest: str
    size_bytes: int
    macs: int
    operations: dict[str, int]
    rms: float


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


def roles(plan: Plan) -> dict[str, Role]:
    """Return why each program of a plan is timed, by key."""
    whole: tuple[tuple[Role, Iterable[Program]], ...] = (
        ("held_out", (network(item) for item in plan.held_out)),
        ("calibration", (network(item) for item in plan.calibration)),
        ("sentinel", (network(plan.sentinel),)),
    )
    named = {item.key: role for role, items in whole for item in items}
    found: dict[str, Role] = {}
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

    Packages that an interrupted export left are kept if their bytes are as they should be: they
    are checked again, not converted again.

    Args:
        folder: Where to; made if it is not there.
        plan: What to time.
        product: The device that the programs are for.
        processes: How many convert at once; by default one, and one more for every core where
            that is faster than starting it.
        progress: Told what is being done.

    Raises:
        RepvitNasError: A package does not compute what torch computes, or the folder holds the
            export of another plan.
        FileError: The folder cannot be written.
    """
    _claim(folder, plan)
    wanted = planned(plan)
    purpose = roles(plan)
    tasks = [(item, folder / PROGRAMS_FOLDER / f"{program_name(item)}") for item in wanted.values()]
    written = []
    for done, packed in enumerate(_written(tasks, processes)):
        progress("converting", done + 1, len(tasks))
        written.append(packed)
    from importlib.metadata import version

    manifest = Manifest(
        device=product.device,
        product_type=product.product_type,
        target="iOS16",
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


Task = tuple[Program, Path]


def _written(tasks: list[Task], processes: int | None) -> Iterable["Packed"]:
    if processes is None:
        processes = min(os.cpu_count() or 1, 1 + len(tasks) // _WORTH_A_PROCESS)
    if processes < 1:
        raise RepvitNasError(f"processes must be 1 or more; got {processes}")
    if processes == 1:
        yield from map(_write, tasks)
        return
    # Forked processes would inherit torch's and coremltools' threads and locks in any state.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=context, initializer=_one_thread, max_tasks_per_child=_TASKS
    ) as pool:
        try:
            yield from pool.map(_write, tasks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    """Keep a worker to one core, leave Ctrl-C to the process that started it, and end with that."""
    import signal
    import threading

    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_parent() -> None:
    """Wait for the process that started this one; without it, a worker would wait for ever."""
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Packed(msgspec.Struct, frozen=True):
    """What a manifest says of a package, as a worker hands it back."""

    digest: str
    size_bytes: int
    operations: dict[str, int]
    rms: float


def _write(task: Task) -> Packed:
    from repvit_nas.export.coreml import SUFFIX, check, program_weights, write_program

    timed, stem = task
    gc.collect()  # coremltools leaves programs behind that refer to themselves
    package = stem.with_name(stem.name + SUFFIX)
    if package.is_dir():
        try:
            found = check(timed, program_weights(timed), package)
        except RepvitNasError:
            found = write_program(timed, package)
    else:
        found = write_program(timed, package)
    return Packed(found.digest, found.size_bytes, found.operations, found.rms)


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
