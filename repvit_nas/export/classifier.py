"""A trained network as a Core ML classifier: a picture goes in, a class and probabilities come out."""

import platform
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from repvit_nas.conversion.converter import converted, coremltools
from repvit_nas.conversion.mil import run
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import Answers, Scoring, torch_scores
from repvit_nas.export.program import Preparation, compared_form, write_package
from repvit_nas.export.records import Form
from repvit_nas.export.subject import Subject
from repvit_nas.operations import HALF
from repvit_nas.shapes import Singles

# On how many images a program is compared; interpreted, each takes a while.
INTERPRETED: Final = 64


class _Classifier(nn.Module):
    """A network with its preprocessing in front and probabilities behind.

    Args:
        network: Takes prepared images.
        prepare: Makes these of pictures.
    """

    def __init__(self, network: nn.Module, prepare: Preparation) -> None:
        super().__init__()
        self.network = network
        self.prepare = prepare

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities of images whose channels go from 0 to 255."""
        probabilities: torch.Tensor = self.network(self.prepare(x)).softmax(1)
        return probabilities


def image_limit(asked: int | None) -> int | None:
    """Return on how many images a program is compared: on all that were asked for, on a Mac."""
    return asked if asked is not None or platform.system() == "Darwin" else INTERPRETED


def core_ml_form(
    package: Path,
    fused: Any,
    subject: Subject,
    *,
    images: torch.Tensor,
    scores: Scoring,
    bits: int = HALF,
) -> tuple[Form, dict[str, int], nn.Module]:
    """Convert to a half-precision ML program, and compare it with the training form.

    With weights of fewer bits it is compared with the fused network that has the weights which the
    package stores: what storing them changes is another question, and answered beside it.

    Args:
        package: Where it is written.
        fused: The fused network.
        subject: What the package says of itself.
        images: Prepared images to compare on.
        scores: The training form's, of prepared images.
        bits: Of a stored weight.

    Returns:
        The form, how often each operation occurs in it, and the network that it holds.

    Raises:
        RepvitNasError: The program has other operations or weights than the network, or other answers.
        FileError: It cannot be written.
    """
    side = subject.architecture.resolution
    prepare = Preparation.of(fused)
    model = _converted(_Classifier(fused, prepare), side, subject.classes)
    written = write_package(model, package, fused, subject, bits)
    pixels = prepare.pixels(images)
    prepared = prepare(pixels)
    before = _probabilities(scores(prepared))
    expected = before if bits == HALF else _probabilities(torch_scores(written.network, prepared))
    if platform.system() == "Darwin":
        found, ran = _by_core_ml(package, pixels, subject.classes), "Core ML"
    else:
        found, ran = interpreted(written.program, pixels), "interpreter in half precision"
    form = compared_form(
        written, package, bits, found=[found], expected=expected, before=before, ran=ran
    )
    return form, written.operations, written.network


def _probabilities(scores: Answers) -> Answers:
    return [torch.from_numpy(each).softmax(1).numpy() for each in scores]


def _converted(classifier: nn.Module, side: int, classes: tuple[str, ...]) -> Any:
    tools: Any = coremltools()
    shape = (1, 3, side, side)
    picture = tools.ImageType(name="image", shape=shape, color_layout=tools.colorlayout.RGB)
    return converted(
        classifier.eval(),
        shape,
        inputs=[picture],
        classifier_config=tools.ClassifierConfig(list(classes)),
    )


def interpreted(program: Any, pixels: torch.Tensor) -> Singles:
    """Return the probabilities that a classifier program gives, run in half precision by torch.

    Args:
        program: From :func:`repvit_nas.conversion.mil.read_package`.
        pixels: `(images, 3, side, side)`, from 0 to 255.
    """
    operations = program.operations
    first = next(i for i, each in enumerate(operations) if each.type == "conv")
    last = next(i for i, each in enumerate(operations) if each.type == "softmax")
    taken = operations[first].arguments["x"]
    core = program._replace(
        inputs={taken: tuple(pixels.shape[1:])},
        outputs=(operations[last].arguments["x"],),
        operations=operations[first:last],
    )
    rows = []
    for image in pixels[:, None]:
        value = image
        for operation in operations[:first]:
            value = _prepared(program, operation, value)
        scores = torch.from_numpy(run(core, value.numpy()))
        rows.append(scores.softmax(1).half().float().numpy())
    return np.concatenate(rows)


def _prepared(program: Any, operation: Any, value: torch.Tensor) -> torch.Tensor:
    """Run one operation of the preprocessing."""
    known = {
        name: torch.from_numpy(program.weights[source].astype(np.float32))
        for name, source in operation.arguments.items()
        if source in program.weights
    }
    if operation.type == "cast":
        return value.half().float()
    if operation.type == "batch_norm":
        epsilon = float(program.constants[operation.arguments["epsilon"]])
        value = nn.functional.batch_norm(
            value,
            known["mean"],
            known["variance"],
            known.get("gamma"),
            known.get("beta"),
            eps=epsilon,
        )
        return value.half().float()
    raise RepvitNasError(f"the Core ML program holds {operation.type!r} before the network")


def _by_core_ml(package: Path, pixels: torch.Tensor, classes: tuple[str, ...]) -> Singles:
    """Return the probabilities that Core ML itself gives, on a Mac."""
    from PIL import Image

    model = coremltools().models.MLModel(str(package))
    rows = []
    for image in pixels:
        picture = Image.fromarray(image.permute(1, 2, 0).to(torch.uint8).numpy())
        answer = model.predict({"image": picture})
        (found,) = [value for value in answer.values() if isinstance(value, dict)]
        rows.append([found[name] for name in classes])
    return np.array(rows, dtype=np.float32)
