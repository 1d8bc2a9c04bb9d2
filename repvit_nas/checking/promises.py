"""What was promised of a trained network, each against what is found."""

from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from repvit_nas.architecture import Architecture
from repvit_nas.checking.embedding import MatchedOn, embedding
from repvit_nas.checking.records import Promise
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.forms import COREML_FILES, ONNX_FILE
from repvit_nas.export.images import ComparedOn
from repvit_nas.export.records import ExportRecord, fewer_bits_words, form_digest
from repvit_nas.network import reparameterize
from repvit_nas.search_space.space import Space, load_space
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.records import TrainFile, TrainOutcome
from repvit_nas.training.trained import TrainedRun
from repvit_nas.units import Network, rows
from repvit_nas.words import Progress

# Other processors round in another order; a few images at the edge of two classes may turn over.
TURNED_OVER: Final = 0.001
# Of bf16 beside fp32, 1 to 2 % of the predictions changed in trials, in both directions.
TURNED_OVER_HALF: Final = 0.01


def promises_of(
    run: TrainedRun,
    model: nn.Module,
    exported: ExportRecord,
    place: Path,
    *,
    images: ComparedOn,
    matched: MatchedOn | str,
    space: str | None = None,
    progress: Progress = lambda _, __, ___: None,
) -> tuple[Promise, ...]:
    """Check all that was promised of a trained network.

    Args:
        run: The run.
        model: Its network, as its files hold it.
        exported: What was exported of it.
        place: Where the files of that are.
        images: To validate on; drawn ones tell nothing of accuracy.
        matched: What it learned a map on, or why that is not here.
        space: The search space that the network must lie in; None for its own.
        progress: Told how far the validation is.

    Raises:
        RepvitNasError: The space is not known.
    """
    return (
        _in_space(run.record, space),
        *_counted(model, run.asked.architecture),
        *_as_written(run),
        *_forms(run, exported, place),
        _accuracy(model, run, run.outcome, images, progress)
        if isinstance(run.outcome, TrainOutcome)
        else embedding(model, run.record, matched),
    )


def _in_space(record: TrainFile, name: str | None) -> Promise:
    """Check the network's shape; its resolution and classes are those of its images."""
    if name is None and record.space is not None:
        space = Space(record.space)
    else:
        space, _ = load_space(name or "repvit")
    name = name or space.name
    network = record.asked.architecture
    if not isinstance(network, Architecture):
        why = "the network is told by its units, which no space holds"
        return Promise(name="search space", kept=None, promised=f"in {name}", found=why)
    try:
        space.check_shape(network)
    except RepvitNasError as error:
        return Promise(name="search space", kept=False, promised=f"in {name}", found=str(error))
    return Promise(name="search space", kept=True, promised=f"in {name}", found="in it")


def _counted(model: nn.Module, architecture: Network) -> list[Promise]:
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


def _as_written(run: TrainedRun) -> list[Promise]:
    """Check that weights and configuration are those that the training left."""
    return [
        Promise(
            name=file.path.name,
            kept=file.found == file.written,
            promised=file.written,
            found=file.found
            if file.found == file.written
            else f"{file.found or 'missing'}: was changed since",
        )
        for file in (run.weights, run.config)
        if file.written  # older runs do not say
    ]


def _forms(run: TrainedRun, exported: ExportRecord, place: Path) -> list[Promise]:
    """Check that the files in `place` are of a run's weights, and answer as they do."""
    now = run.weights.found
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
        for name in (ONNX_FILE, *COREML_FILES.values())
        if name not in known and (run.folder / name).exists()
    ]
    on = " random and drawn" if exported.missing else ""
    for form in exported.forms:
        now = form_digest(place / form.file)
        text = f"{form.error:.1e}, same class {form.agreement:.2f} % of {form.images:,}{on}"
        if form.fewer_bits:
            text = f"{text}; {fewer_bits_words(form.fewer_bits)}"
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
    model: nn.Module,
    run: TrainedRun,
    outcome: TrainOutcome,
    chosen: ComparedOn,
    progress: Progress,
) -> Promise:
    """Validate the network again, from its file, where the images are here."""
    asked = run.asked
    promised = f"top-1 {outcome.top1:.2f} %"
    if chosen.missing:
        return Promise(
            name="accuracy",
            kept=None,
            promised=promised,
            found=f"not checked: {chosen.missing}; give --data PATH",
        )
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
