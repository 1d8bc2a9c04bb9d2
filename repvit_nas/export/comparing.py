"""Is a form the same network? Its answers against the training form's, within what precision explains.

Fusing is judged in double precision, where nothing but rounding in the fifteenth digit may be left.
A form in single precision may then differ by what single precision does to this very network, on the
same images: its depth, scale and cancellations are in that figure.
"""

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.export.fused import Fused
from repvit_nas.export.here import latencies_here
from repvit_nas.export.images import ComparedOn, batches
from repvit_nas.export.records import ExportRecord, Form, Rounding, form_digest
from repvit_nas.export.subject import Subject
from repvit_nas.shapes import Singles

# What is handed back of images: scores `(images, classes)`, or maps `(images, channels, side, side)`.
Answers = list[Singles]
# Answers to prepared images.
Scoring = Callable[[torch.Tensor], Answers]

# Fusing in double precision: 1e-15 to 2e-12 over random networks of any depth.
FUSING_ALLOWED: Final = 1e-10
# Another order of the same sums rounds otherwise: 0.2 to 1.8 times as far in the same trials.
FACTOR: Final = 4.0
# Images that are computed in double precision too, which takes two to three times as long.
JUDGED: Final = 16
# On others rounding may be worse: up to 23 times that of the first 16 in the same trials, 6 times what
# is allowed on them.
BEYOND: Final = 30.0
_LEAST: Final = float(np.finfo(np.float32).eps)


class Answering(NamedTuple):
    """A form that was read back from its file.

    Attributes:
        name: `fused` or `onnx`.
        path: Its file.
        ran: What runs it.
        scores: Returns its answers to prepared images.
    """

    name: str
    path: Path
    ran: str
    scores: Scoring


class FormComparison(NamedTuple):
    """What came of comparing.

    Attributes:
        rounding: What precision alone does to the network.
        forms: The forms, in order.
    """

    rounding: Rounding
    forms: list[Form]


def torch_scores(model: nn.Module, images: torch.Tensor) -> Answers:
    """Return a module's answers to prepared images, in the module's precision."""
    dtype = next(model.parameters()).dtype
    with torch.inference_mode():
        found = model(images.to(dtype))
    return [each.numpy() for each in (found if isinstance(found, list | tuple) else [found])]


def scoring(model: nn.Module) -> Scoring:
    """Return the function that gives a module's answers."""
    return functools.partial(torch_scores, model)


def fused_answering(path: Path, fused: Fused) -> Answering:
    """Return the fused form, whose file at `path` holds it bit by bit."""
    return Answering("fused", path, "torch", scoring(fused.single))


def compared(
    subject: Subject,
    fused: Fused,
    answering: Sequence[Answering],
    chosen: ComparedOn,
    *,
    limit: int | None = None,
) -> ExportRecord:
    """Compare forms of a network with its training form, and time that and the fused one here.

    Args:
        subject: The network.
        fused: The same, fused.
        answering: The forms.
        chosen: What they are compared on.
        limit: Images to compare on; None for all.

    Raises:
        RepvitNasError: Fusing changed the network, a form is too far from it, or there are no images.
    """
    side = subject.architecture.resolution
    taken = batches(chosen.images, subject.recipe, side, limit)
    rounding, forms = compare(subject.model, fused, answering, taken)
    unfused_ms, fused_ms = latencies_here([subject.model, fused.single], side)
    return ExportRecord(
        digest=subject.digest,
        untrained=not subject.digest,
        forms=tuple(forms),
        compared_on=chosen.words,
        missing=chosen.missing,
        rounding=rounding,
        unfused_ms=unfused_ms,
        fused_ms=fused_ms,
    )


def compare(
    model: nn.Module, fused: Fused, answering: Sequence[Answering], batches: Iterable[torch.Tensor]
) -> FormComparison:
    """Compare forms with the training form, a part of the images at a time.

    The first `JUDGED` are computed in double precision too, and give the bound; on the others a form may
    be `BEYOND` times as far from the training form.

    Args:
        model: The training form.
        fused: The fused network.
        answering: The forms.
        batches: Prepared images.

    Raises:
        RepvitNasError: Fusing changed the network, a form is too far from it, or there are no images.
    """
    rounding: Rounding | None = None
    count = 0
    errors = [0.0] * len(answering)
    apart, agreed = [0.0] * len(answering), [0.0] * len(answering)
    for batch in batches:
        expected = torch_scores(model, batch)
        count += len(batch)
        exact = None
        if rounding is None:
            first = batch[:JUDGED]
            exact = torch_scores(copy.deepcopy(model).double(), first)
            rounding = _rounding(model, fused, first, exact)
        for number, form in enumerate(answering):
            found = form.scores(batch)
            if exact is not None:
                errors[number] = _apart([each[:JUDGED] for each in found], exact)
            # `np.maximum` hands a nan on, the built-in `max` may not.
            apart[number] = float(np.maximum(apart[number], _apart(found, expected)))
            agreed[number] += len(batch) * agreement(found, expected)
    if rounding is None:
        raise RepvitNasError("there are no images to compare the forms on")
    forms = []
    for form, error, furthest, right in zip(answering, errors, apart, agreed, strict=True):
        _check(form.path, error, rounding, rounding.allowed)
        _check(form.path, furthest, rounding, BEYOND * rounding.allowed)
        made = Form(
            name=form.name,
            file=form.path.name,
            digest=form_digest(form.path),
            size_bytes=form.path.stat().st_size,
            error=error,
            allowed=rounding.allowed,
            agreement=100 * right / count,
            images=count,
            ran=form.ran,
        )
        forms.append(made)
    return FormComparison(rounding, forms)


def _rounding(model: nn.Module, fused: Fused, images: torch.Tensor, exact: Answers) -> Rounding:
    """Return what precision does to a network, and make sure that fusing does no more.

    Raises:
        RepvitNasError: The fused network is another one.
    """
    fusing = _apart(torch_scores(fused.double, images), exact)
    if not fusing <= FUSING_ALLOWED:  # a nan is refused too
        raise RepvitNasError(
            f"the fused network differs from the training form by {fusing:.1e}, both computed in double "
            f"precision; at most {FUSING_ALLOWED:.0e} is rounding: do not use it"
        )
    single = _apart(torch_scores(model, images), exact)
    weights = _apart(torch_scores(copy.deepcopy(fused.single).double(), images), exact)
    return Rounding(
        images=len(images),
        fusing=fusing,
        fusing_allowed=FUSING_ALLOWED,
        single=single,
        weights=weights,
        factor=FACTOR,
        allowed=FACTOR * max(single, weights, _LEAST),
    )


def agreement(found: Answers, expected: Answers) -> float:
    """Return the share of images with the same best class, or of pixels with the same largest channel."""
    same = [one.argmax(1) == other.argmax(1) for one, other in zip(found, expected, strict=True)]
    return float(np.concatenate([each.ravel() for each in same]).mean())


def _apart(found: Answers, exact: Answers) -> float:
    """Return the largest difference of a score, relative to the largest score; of maps, in the worst."""
    shares = [
        np.abs(one - other).max() / max(float(np.abs(other).max()), 1e-12)
        for one, other in zip(found, exact, strict=True)
    ]
    return float(np.max(shares))  # which hands a nan on


def _check(path: Path, error: float, rounding: Rounding, allowed: float) -> None:
    if not error <= allowed:  # a nan is refused too
        raise RepvitNasError(
            f"{path.name}: differs from the training form by {error:.1e}; at most {allowed:.1e} is what "
            f"single precision explains, which rounds the training form by {rounding.single:.1e} and "
            f"the fused weights by {rounding.weights:.1e} here: do not use it"
        )
