"""`check`: what was promised of a trained network against what is found, and the family beside it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from repvit_nas import files
from repvit_nas.architecture import Architecture, with_output
from repvit_nas.checking.embedding import embedding
from repvit_nas.checking.records import CHECK_FILE, CheckRecord, ComparedNetwork, Promise, relation
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.export.forms import COREML_FILE, ONNX_FILE, export_run
from repvit_nas.export.images import ComparedOn, run_images
from repvit_nas.export.records import ExportRecord, form_digest, read_export
from repvit_nas.folders import refuse_links
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, published_latency, read_published
from repvit_nas.network import reparameterize
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.search_space.family import family, published_top1
from repvit_nas.search_space.space import Space, load_space
from repvit_nas.timing import Access, measured_device, network_limits, time_on
from repvit_nas.training.data import is_folder, moved
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.publish import CONFIG_FILE
from repvit_nas.training.records import (
    RANDOM,
    WEIGHTS_FILE,
    Asked,
    TrainFile,
    file_digest,
    finished,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import Place, train
from repvit_nas.training.trained import load_trained
from repvit_nas.units import rows
from repvit_nas.words import Progress, Say

FAMILY_FOLDER: Final = "family"
BESIDE: Final = ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3")
# Other processors round in another order; a few images at the edge of two classes may turn over.
TURNED_OVER: Final = 0.001
# Of bf16 beside fp32, 1 to 2 % of the predictions changed in trials, in both directions.
TURNED_OVER_HALF: Final = 0.01
_IMAGENET: Final = (1000, 224)


class Where(NamedTuple):
    """On what a network is checked.

    Attributes:
        device: Whose latencies are predicted.
        space: The search space that the network must lie in; None for the one it was searched in,
            or the usual one where no run kept that.
        foreign: Accept a processor's table that was measured on another machine.
        access: How the device is reached, if it is a phone.
    """

    device: str = "iphone12"
    space: str | None = None
    foreign: bool = False
    access: Access = Access()


def check_run(
    folder: Path,
    where: Where | None = None,
    *,
    keep: bool = True,
    data: str = "",
    train_family: Iterable[str] = (),
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CheckRecord:
    """Check a finished training run, and write what was found into its folder.

    Where nothing can be kept there, the fused form is made elsewhere, and is gone in the end.

    Args:
        folder: The run.
        where: On what it is checked.
        keep: Write into the run's folder.
        data: Where the images are now; empty for where the run had them. What needs them and they are
            not there is said not to be checked.
        train_family: Reference networks to train by the same recipe on the same images first.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The run is not finished, the device, the space or a network is not known, or
            `data` does not hold the run's classes.
    """
    where = where or Where()
    refuse_links(folder, "check the run it belongs to")
    record = finished(folder)
    predictor, _ = load_predictor(where.device, foreign=where.foreign)
    for name in train_family:
        _train_member(folder, _moved(record, data), name, say, progress)
    progress("reading the images", 0, 1)
    chosen = run_images(record, data)
    if chosen.missing:
        say(f"without the images to validate on, accuracy is not checked: {chosen.missing}")
    model = load_trained(folder, verify=False)  # whether they are as written is a promise below
    exported, forms = _exported(folder, chosen, keep=keep)
    promises = (
        _in_space(record, where.space),
        *_counted(model, record.asked.architecture),
        *_as_written(folder, record),
        *forms,
        _accuracy(model, record, chosen, progress)
        if record.asked.matching is None
        else embedding(model, _moved(record, data)),
    )
    variant = _row(
        record.asked.architecture.name or "variant", record.asked.architecture, predictor
    )
    top1 = None if record.outcome is None else record.outcome.top1
    variant = msgspec.structs.replace(variant, top1=top1)
    timed = _measured(where, record.asked.architecture, say, progress)
    found = CheckRecord(
        run=str(folder),
        device=where.device,
        val_images=0 if chosen.missing else len(chosen.images),
        promises=promises,
        variant=variant,
        family=tuple(
            _beside(folder, record, name, device=where.device, predictor=predictor, variant=variant)
            for name in BESIDE
        ),
        measured_ms=timed.ms,
        not_measured=timed.why_not,
        off_engine=timed.off_engine,
        export=exported,
    )
    if keep:
        files.write_json(folder / CHECK_FILE, found)
    return found


def _train_member(folder: Path, record: TrainFile, name: str, say: Say, progress: Progress) -> None:
    """Train a reference network as the run was trained, unless that was done before."""
    if name not in family():
        raise UnknownNameError.of("reference network", name, list(family()))
    place = folder / FAMILY_FOLDER / name
    if is_training_run(place) and read_training(place).outcome is not None:
        return
    asked = _member_asked(record.asked, name)
    start = "" if asked.init == RANDOM else f", from timm's published weights of {name}"
    say(f"training {name} by the same recipe on the same images{start}, in {place}")
    train(
        asked,
        place,
        Place(),
        command=f"repvit-nas check {folder} --train-family {name}",
        resume=is_training_run(place),
        say=say,
        progress=progress,
    )


def _moved(record: TrainFile, data: str) -> TrainFile:
    """Return a run's record with its images where they are now."""
    if not data:
        return record
    spec = moved(record.asked.data, data)
    return msgspec.structs.replace(record, asked=msgspec.structs.replace(record.asked, data=spec))


def _same_asked(one: Asked, other: Asked) -> bool:
    """Tell whether two runs were asked the same; where a folder of images lay is no difference."""
    if is_folder(one.data.name) and is_folder(other.data.name):
        one = msgspec.structs.replace(one, data=moved(one.data, other.data.name))
    return one == other


def _member_asked(asked: Asked, name: str) -> Asked:
    """Return what a reference network is asked: all that the variant was, but for the network."""
    architecture = _as_trained(family()[name].architecture, asked.architecture)
    init = asked.init if asked.init == RANDOM else name
    # One process takes the steps of all: as many images in an update, and so the same rate.
    accumulate = asked.recipe.accumulate * asked.processes
    return msgspec.structs.replace(
        asked,
        architecture=architecture,
        recipe=msgspec.structs.replace(asked.recipe, accumulate=accumulate),
        init=init,
        processes=1,
    )


def _as_trained(architecture: Architecture, like: Architecture) -> Architecture:
    return with_output(
        architecture, like.output, num_classes=like.num_classes, resolution=like.resolution
    )


def _exported(
    folder: Path, images: ComparedOn, *, keep: bool
) -> tuple[ExportRecord, list[Promise]]:
    """Return what was exported of the run, and whether that holds; where nothing was, it is made."""
    found = read_export(folder)
    if found is not None:
        return found, _forms(folder, found, folder)
    if keep:
        made = export_run(folder, (), images=images, verify=False)
        return made, _forms(folder, made, folder)
    with tempfile.TemporaryDirectory(prefix="repvit-nas-") as scratch:
        made = export_run(folder, (), images=images, verify=False, into=Path(scratch))
        return made, _forms(folder, made, Path(scratch))


def _as_written(folder: Path, record: TrainFile) -> list[Promise]:
    """Check that weights and configuration are those that the training left."""
    outcome = record.ended
    pairs = (
        ()
        if outcome is None
        else (
            (WEIGHTS_FILE, outcome.weights_digest),
            (CONFIG_FILE, outcome.config_digest),
        )
    )
    return [
        Promise(
            name=name,
            kept=found == promised,
            promised=promised,
            found=found if found == promised else f"{found or 'missing'}: was changed since",
        )
        for name, promised in pairs
        if promised  # older runs do not say
        for found in (file_digest(folder / name),)
    ]


def _in_space(record: TrainFile, name: str | None) -> Promise:
    """Check the network's shape; its resolution and classes are those of its images."""
    if name is None and record.space is not None:
        space = Space(record.space)
    else:
        space, _ = load_space(name or "repvit")
    name = name or space.name
    try:
        space.check_shape(record.asked.architecture)
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


def _forms(folder: Path, exported: ExportRecord, place: Path) -> list[Promise]:
    """Check that the files in `place` are of a run's weights, and answer as they do."""
    now = file_digest(folder / WEIGHTS_FILE)
    found = [
        Promise(
            name="exported weights",
            kept=exported.digest == now,
            promised=now,
            found=exported.digest if exported.digest == now else f"{exported.digest}: export again",
        )
    ]
    known = {form.file for form in exported.forms}
    found += [
        Promise(
            name="exported file",
            kept=False,
            promised=f"{name} is of these weights",
            found=f"{name} was exported from others: export again, or remove it",
        )
        for name in (ONNX_FILE, COREML_FILE)
        if name not in known and (folder / name).exists()
    ]
    on = " random and drawn" if exported.missing else ""
    for form in exported.forms:
        now = form_digest(place / form.file)
        text = f"{form.error:.1e}, same class {form.agreement:.2f} % of {form.images:,}{on}"
        if now != form.digest:
            text = f"{form.file} is {'not what was compared' if now else 'missing'}: export again"
        found.append(
            Promise(
                name=f"form {form.name}",
                kept=now == form.digest and form.error <= form.allowed,
                promised=f"differs by at most {form.allowed:.1e}",
                found=text,
            )
        )
    return found


def _accuracy(
    model: nn.Module, record: TrainFile, chosen: ComparedOn, progress: Progress
) -> Promise:
    """Validate the network again, from its file, where the images are here."""
    outcome = record.outcome
    if outcome is None:
        raise RepvitNasError("the training is not finished")
    promised = f"top-1 {outcome.top1:.2f} %"
    if chosen.missing:
        return Promise(
            name="accuracy",
            kept=None,
            promised=promised,
            found=f"not checked: {chosen.missing}; give --data PATH",
        )
    asked = record.asked
    # Half precision turns over many more images than another order of adding up.
    turned = TURNED_OVER if asked.precision == "fp32" else TURNED_OVER_HALF
    loader = val_batches(
        chosen.images,
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
    slack = 100 * max(1 / max(count, 1), turned)
    return Promise(
        name="accuracy",
        kept=abs(top1 - outcome.top1) <= slack + 1e-9,
        promised=promised,
        found=f"top-1 {top1:.2f} % of {count:,} images",
    )


def _row(name: str, architecture: Architecture, predictor: Predictor) -> ComparedNetwork:
    units = rows(architecture)
    latency = predictor.estimate(architecture)
    return ComparedNetwork(
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
    variant: ComparedNetwork,
) -> ComparedNetwork:
    """Return the row of a reference network, with its accuracy where it was trained on the same."""
    reference = family()[name]
    architecture = _as_trained(reference.architecture, record.asked.architecture)
    place = folder / FAMILY_FOLDER / name
    top1 = None
    if is_training_run(place):
        member = read_training(place)
        same = _same_asked(member.asked, _member_asked(record.asked, name))
        top1 = member.outcome.top1 if same and member.outcome is not None else None
    path = load_device(device).path(PUBLISHED_FILE)
    asked = record.asked.architecture
    # Figures of another input or another head are no comparison.
    comparable = path.is_file() and asked.num_classes == _IMAGENET[0]
    latency = (
        published_latency(name, read_published(path), resolution=asked.resolution)
        if comparable
        else None
    )
    alike = (asked.num_classes, asked.resolution) == _IMAGENET
    accuracy = published_top1(name) if alike else None
    row = msgspec.structs.replace(
        _row(reference.title, architecture, predictor),
        top1=top1,
        published_ms=latency.latency_ms if latency else None,
        published_top1=accuracy.top1 if accuracy else None,
    )
    if top1 is None:
        top1 = row.published_top1
    return msgspec.structs.replace(row, relation=relation(row, top1, variant))


class _Measured(NamedTuple):
    ms: float | None
    off_engine: bool = False
    why_not: str = ""


def _measured(where: Where, architecture: Architecture, say: Say, progress: Progress) -> _Measured:
    """Time the network on the device; where that cannot be done here, say why."""
    try:
        device = measured_device(where.device)
        timed = time_on(
            device,
            [architecture],
            network_limits(device),
            progress,
            access=where.access,
            say=say,
        )
    except RepvitNasError as error:
        return _Measured(None, why_not=str(error))
    (row,) = timed.table.networks("held_out")
    return _Measured(row.latency_ms, timed.ran_off(architecture))
