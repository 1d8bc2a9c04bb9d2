"""What was promised of a trained network, each against what is found."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from repvit_nas.architecture import Architecture
from repvit_nas.checking.records import ComparedNetwork, Promise
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.records import fewer_bits_words
from repvit_nas.export.standing import Standing
from repvit_nas.network import reparameterize
from repvit_nas.search_space.space import Space, load_space
from repvit_nas.training.records import TrainFile
from repvit_nas.training.trained import TrainedRun
from repvit_nas.units import Network


class PromisedSpace(NamedTuple):
    """The search space that a network must lie in.

    Attributes:
        name: What it is called.
        space: The space.
    """

    name: str
    space: Space


def promised_space(record: TrainFile, name: str | None) -> PromisedSpace:
    """Return a space by name, or that in which a run's network was searched.

    Raises:
        RepvitNasError: The space is not known.
    """
    if name is None and record.space is not None:
        space = Space(record.space)
    else:
        space, _ = load_space(name or "repvit")
    return PromisedSpace(name or space.name, space)


def promises_of(
    run: TrainedRun,
    model: nn.Module,
    variant: ComparedNetwork,
    forms: Standing,
    validated: Promise,
    *,
    space: PromisedSpace,
) -> tuple[Promise, ...]:
    """Check all that was promised of a trained network.

    Args:
        run: The run.
        model: Its network, as its files hold it.
        variant: Its size by the closed form.
        forms: What was exported of it, and what its files are now.
        validated: Whether it is as good as the run says.
        space: The search space that the network must lie in.
    """
    return (
        _in_space(run.asked.architecture, space),
        *_counted(model, run.asked.architecture.resolution, variant),
        *_as_written(run),
        *_forms(run.weights.found, forms),
        validated,
    )


def _in_space(network: Network, asked: PromisedSpace) -> Promise:
    """Check the network's shape; its resolution and classes are those of its images."""
    name, space = asked
    if not isinstance(network, Architecture):
        why = "the network is told by its units, which no space holds"
        return Promise(name="search space", kept=None, promised=f"in {name}", found=why)
    try:
        space.check_shape(network)
    except RepvitNasError as error:
        return Promise(name="search space", kept=False, promised=f"in {name}", found=str(error))
    return Promise(name="search space", kept=True, promised=f"in {name}", found="in it")


def _counted(model: nn.Module, side: int, variant: ComparedNetwork) -> list[Promise]:
    """Compare parameters and multiply-accumulates with the closed form."""
    fused = reparameterize(model)
    params = sum(parameter.numel() for parameter in fused.parameters())
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        fused(torch.zeros(1, 3, side, side))
    # torch counts a multiplication and an addition apart.
    macs = counter.get_total_flops() // 2
    return [
        _equal("parameters", variant.params, params),
        _equal("multiply-accumulates", variant.macs, macs),
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


def _forms(weights: str, forms: Standing) -> list[Promise]:
    """Check that exported files are of these weights, and answer as they do."""
    exported = forms.record
    found = [
        Promise(
            name="exported weights",
            kept=exported.digest == weights,
            promised=weights,
            found=exported.digest
            if exported.digest == weights
            else f"{exported.digest}: export again",
        )
    ]
    found += [
        Promise(
            name="exported file",
            kept=False,
            promised=f"{name} is of these weights",
            found=f"{name} was exported from others: export again, or remove it",
        )
        for name in forms.strange
    ]
    on = " random and drawn" if exported.missing else ""
    for form in exported.forms:
        now = forms.now[form.file]
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
