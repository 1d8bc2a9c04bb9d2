"""`check`: what was promised of a trained network against what is found, and the family beside it."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from repvit_nas import files
from repvit_nas.architecture import Architecture
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.export.trained import (
    ExportRecord,
    export_run,
    form_digest,
    read_export,
    weights_digest,
)
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_published
from repvit_nas.network import load, reparameterize
from repvit_nas.predictors.measured import Source
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.report.family_rows import published_latency
from repvit_nas.search_space.family import family, published_top1
from repvit_nas.search_space.space import load_space
from repvit_nas.training.data import open_data
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.records import (
    RANDOM,
    Asked,
    TrainFile,
    finished,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import Place, train
from repvit_nas.units import rows

CHECK_FILE: Final = "check.json"
FAMILY_FOLDER: Final = "family"
BESIDE: Final = ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3")
# Other processors round in another order; a few images at the edge of two classes may turn over.
TURNED_OVER: Final = 0.001
_IMAGENET: Final = (1000, 224)

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]
Relation = Literal["", "dominated by the variant", "dominates the variant", "neither"]


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that was promised.

    Attributes:
        name: What it is about.
        kept: Whether it holds.
        promised: What was promised.
        found: What was found.
    """

    name: str
    kept: bool
    promised: str
    found: str


class NetworkRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network beside others.

    Attributes:
        name: What it is called.
        params: Parameters of the fused network.
        macs: Multiply-accumulates, at the resolution of the run.
        latency_ms: Predicted on the device, at that resolution.
        low_ms: Lower end of the 90 % interval.
        high_ms: Upper end of the 90 % interval.
        source: Where the prediction comes from.
        top1: Percent right on the run's validation images; None where it was not trained on them.
        published_ms: Published for 224 px and 1000 classes.
        published_top1: Published on ImageNet-1k.
        relation: How its latency and accuracy on these images stand to the variant's.
    """

    name: str
    params: int
    macs: int
    latency_ms: float
    low_ms: float
    high_ms: float
    source: Source
    top1: float | None = None
    published_ms: float | None = None
    published_top1: float | None = None
    relation: Relation = ""


class CheckRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `check.json` (schema 1).

    Attributes:
        run: The run's folder.
        device: Whose latencies are predicted.
        val_images: On how many images accuracies are taken.
        promises: What was promised, and whether it holds.
        variant: The run's network.
        family: The reference networks beside it.
        measured_ms: The variant's latency, measured on the device, where that is here.
        export: The forms of the network and the latency of unfused and fused on this machine.
    """

    schema: Literal[1] = 1
    run: str
    device: str
    val_images: int
    promises: tuple[Promise, ...]
    variant: NetworkRow
    family: tuple[NetworkRow, ...]
    measured_ms: float | None = None
    export: ExportRecord

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return all(promise.kept for promise in self.promises)


def standard_error(found: CheckRecord) -> float:
    """Return the standard error of the variant's accuracy in percent: what chance alone makes."""
    right = (found.variant.top1 or 0.0) / 100
    return 100 * math.sqrt(right * (1 - right) / max(found.val_images, 1))


class Where(NamedTuple):
    """On what a network is checked.

    Attributes:
        device: Whose latencies are predicted.
        space: The search space that the network must lie in.
        foreign: Accept a processor's table that was measured on another machine.
    """

    device: str = "iphone12"
    space: str = "repvit"
    foreign: bool = False


def check_run(
    folder: Path,
    where: Where | None = None,
    *,
    train_family: Iterable[str] = (),
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CheckRecord:
    """Check a finished training run, and write what was found into its folder.

    Args:
        folder: The run.
        where: On what it is checked.
        train_family: Reference networks to train by the same recipe on the same images first.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The run is not finished, or the device, the space or a network is not known.
    """
    where = where or Where()
    record = finished(folder)
    predictor, _ = load_predictor(where.device, foreign=where.foreign)
    for name in train_family:
        _train_member(folder, record, name, say, progress)
    progress("reading the images", 0, 1)
    opened = open_data(record.asked.data, record.asked.architecture.resolution)
    model = load(folder)
    exported = _exported(folder, opened.val)
    promises = (
        _in_space(record.asked.architecture, where.space),
        *_counted(model, record.asked.architecture),
        *_forms(folder, exported),
        _accuracy(model, record, opened.val, progress),
    )
    variant = _row(
        record.asked.architecture.name or "variant", record.asked.architecture, predictor
    )
    top1 = None if record.outcome is None else record.outcome.top1
    variant = msgspec.structs.replace(variant, top1=top1)
    found = CheckRecord(
        run=str(folder),
        device=where.device,
        val_images=len(opened.val),
        promises=promises,
        variant=variant,
        family=tuple(
            _beside(folder, record, name, device=where.device, predictor=predictor, variant=variant)
            for name in BESIDE
        ),
        measured_ms=_measured(where, record.asked.architecture, progress),
        export=exported,
    )
    files.write_json(folder / CHECK_FILE, found)
    return found


def _train_member(folder: Path, record: TrainFile, name: str, say: Say, progress: Progress) -> None:
    """Train a reference network as the run was trained, unless that was done before."""
    if name not in family():
        raise UnknownNameError.of("reference network", name, list(family()))
    place = folder / FAMILY_FOLDER / name
    if is_training_run(place) and read_training(place).outcome is not None:
        return
    say(f"training {name} by the same recipe on the same images, in {place}")
    asked = _member_asked(record.asked, name)
    train(
        asked,
        place,
        Place(),
        command=f"repvit-nas check {folder} --train-family {name}",
        resume=is_training_run(place),
        say=say,
        progress=progress,
    )


def _member_asked(asked: Asked, name: str) -> Asked:
    """Return what a reference network is asked: all that the variant was, but for the network."""
    architecture = _as_trained(family()[name].architecture, asked.architecture)
    init = asked.init if asked.init == RANDOM else name
    return msgspec.structs.replace(asked, architecture=architecture, init=init, processes=1)


def _as_trained(architecture: Architecture, like: Architecture) -> Architecture:
    return msgspec.structs.replace(
        architecture, resolution=like.resolution, num_classes=like.num_classes
    )


def _exported(folder: Path, images: Any) -> ExportRecord:
    """Return what was exported of the run; the fused form is made where nothing was."""
    return read_export(folder) or export_run(folder, (), images=images)


def _in_space(architecture: Architecture, name: str) -> Promise:
    """Check the network's shape; its resolution and classes are those of its images."""
    space, _ = load_space(name)
    at_home = msgspec.structs.replace(
        architecture, resolution=space.file.resolution.default, num_classes=1000
    )
    try:
        space.check(at_home)
    except RepvitNasError as error:
        return Promise(name="search space", kept=False, promised=f"in {name}", found=str(error))
    return Promise(name="search space", kept=True, promised=f"in {name}", found="in it")


def _counted(model: nn.Module, architecture: Architecture) -> list[Promise]:
    """Compare parameters and multiply-accumulates with the closed form."""
    units = rows(architecture)
    fused = reparameterize(model)
    params = sum(parameter.numel() for parameter in fused.parameters())
    side = architecture.resolution
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        fused(torch.zeros(1, 3, side, side))
    # torch counts a multiplication and an addition apart.
    macs = counter.get_total_flops() // 2
    return [
        _equal("parameters", sum(unit.params for unit in units), params),
        _equal("multiply-accumulates", sum(unit.macs for unit in units), macs),
    ]


def _equal(name: str, promised: int, found: int) -> Promise:
    return Promise(name=name, kept=promised == found, promised=f"{promised:,}", found=f"{found:,}")


def _forms(folder: Path, exported: ExportRecord) -> list[Promise]:
    """Check that the files are of these weights, and answer as they do."""
    now = weights_digest(folder)
    found = [
        Promise(
            name="exported weights",
            kept=exported.digest == now,
            promised=now,
            found=exported.digest if exported.digest == now else f"{exported.digest}: export again",
        )
    ]
    for form in exported.forms:
        now = form_digest(folder / form.file)
        text = f"{form.error:.1e}, same class {form.agreement:.2f} % of {form.images:,}"
        if now != form.digest:
            text = f"{form.file} is {'not what was compared' if now else 'missing'}: export again"
        found.append(
            Promise(
                name=f"form {form.name}",
                kept=now == form.digest and form.error <= form.allowed,
                promised=f"differs by at most {form.allowed:.0e}",
                found=text,
            )
        )
    return found


def _accuracy(model: nn.Module, record: TrainFile, images: Any, progress: Progress) -> Promise:
    """Validate the network again, from its file."""
    outcome = record.outcome
    if outcome is None:
        raise RepvitNasError("the training is not finished")
    asked = record.asked
    loader = val_batches(
        images,
        asked.recipe,
        asked.architecture.resolution,
        world=World(),
        device=torch.device("cpu"),
        workers=0,
    )
    right = count = 0
    with torch.inference_mode():
        for number, (taken, target) in enumerate(loader):
            right += int((model(taken).argmax(1) == target).sum())
            count += len(target)
            progress("validating", number + 1, len(loader))
    top1 = 100 * right / max(count, 1)
    slack = 100 * max(1 / max(count, 1), TURNED_OVER)
    return Promise(
        name="accuracy",
        kept=abs(top1 - outcome.top1) <= slack + 1e-9,
        promised=f"top-1 {outcome.top1:.2f} %",
        found=f"top-1 {top1:.2f} % of {count:,} images",
    )


def _row(name: str, architecture: Architecture, predictor: Predictor) -> NetworkRow:
    units = rows(architecture)
    latency = predictor.estimate(architecture)
    return NetworkRow(
        name=name,
        params=sum(unit.params for unit in units),
        macs=sum(unit.macs for unit in units),
        latency_ms=latency.latency_ms,
        low_ms=latency.low_ms,
        high_ms=latency.high_ms,
        source=latency.source,
    )


def _beside(
    folder: Path,
    record: TrainFile,
    name: str,
    *,
    device: str,
    predictor: Predictor,
    variant: NetworkRow,
) -> NetworkRow:
    """Return the row of a reference network, with its accuracy where it was trained on the same."""
    reference = family()[name]
    architecture = _as_trained(reference.architecture, record.asked.architecture)
    place = folder / FAMILY_FOLDER / name
    top1 = None
    if is_training_run(place):
        member = read_training(place)
        same = member.asked == _member_asked(record.asked, name)
        top1 = member.outcome.top1 if same and member.outcome is not None else None
    path = load_device(device).path(PUBLISHED_FILE)
    latency = published_latency(name, read_published(path)) if path.is_file() else None
    accuracy = published_top1(name)
    row = msgspec.structs.replace(
        _row(reference.title, architecture, predictor),
        top1=top1,
        published_ms=latency.latency_ms if latency else None,
        published_top1=accuracy.top1 if accuracy else None,
    )
    asked = record.asked.architecture
    if top1 is None and (asked.num_classes, asked.resolution) == _IMAGENET:
        top1 = row.published_top1
    return msgspec.structs.replace(row, relation=relation(row, top1, variant))


def relation(row: NetworkRow, top1: float | None, variant: NetworkRow) -> Relation:
    """Say whether one of two networks is at least as fast and as accurate as the other."""
    if top1 is None or variant.top1 is None:
        return ""
    theirs, ours = (row.latency_ms, -top1), (variant.latency_ms, -variant.top1)
    if theirs == ours:
        return "neither"
    if all(a <= b for a, b in zip(theirs, ours, strict=True)):
        return "dominates the variant"
    if all(a >= b for a, b in zip(theirs, ours, strict=True)):
        return "dominated by the variant"
    return "neither"


def _measured(where: Where, architecture: Architecture, progress: Progress) -> float | None:
    """Time the network on the device, where that is a processor of this machine."""
    import shutil
    import tempfile

    device = load_device(where.device)
    spec = device.file.runtime
    if device.file.kind != "measured" or spec is None:
        return None
    from repvit_nas.latency_lut.runners import open_runner
    from repvit_nas.latency_lut.session import Limits, Session
    from repvit_nas.predictors.campaign import network_plan, time_networks

    scratch = Path(tempfile.mkdtemp(prefix="repvit-nas-"))
    try:
        session = Session(scratch, open_runner(spec))
        try:
            session.same_machine(device)
        except RepvitNasError:
            return None
        plan = network_plan([architecture], seed=0)
        table = time_networks(session, plan, Limits(1.0, 0.005), progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return table.networks("held_out")[0].latency_ms


def table_rows(found: CheckRecord) -> list[Sequence[str]]:
    """Return the cells of the networks beside each other."""

    def cells(row: NetworkRow) -> Sequence[str]:
        return (
            row.name,
            f"{row.params / 1e6:.2f}",
            f"{row.macs / 1e6:,.1f}",
            f"{row.latency_ms:.2f} ({row.low_ms:.2f}-{row.high_ms:.2f})",
            "" if row.top1 is None else f"{row.top1:.2f}",
            "" if row.published_ms is None else f"{row.published_ms:g}",
            "" if row.published_top1 is None else f"{row.published_top1:.1f}",
            row.relation,
        )

    return [cells(found.variant), *(cells(row) for row in found.family)]


TABLE_HEADER: Final = (
    "network",
    "M params",
    "M MACs",
    "ms predicted",
    "top-1 % here",
    "ms published",
    "top-1 % published",
    "relation",
)
