"""A network that hands back maps as a Core ML program: a picture goes in, named maps come out.

A SAM encoder's package pads too: SAM scales a picture so that its longer side is the encoder's, and
what is left at the right or below is nothing *after* the preprocessing. The package is told how high
and wide the picture is, and takes no notice of anything beyond.
"""

import platform
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from repvit_nas.architecture import SAM_STEP
from repvit_nas.conversion.converter import converted, coremltools
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import Answers, Scoring, torch_scores
from repvit_nas.export.images import MAPS
from repvit_nas.export.program import Preparation, compared_form, write_package
from repvit_nas.export.records import Form
from repvit_nas.export.subject import Subject
from repvit_nas.operations import HALF
from repvit_nas.units import Network

IMAGE: Final = "image"
SIZE: Final = "size"
# Half precision has every whole number up to here.
_MOST_SIDE: Final = 2048


class Encoder(nn.Module):
    """A network with its preprocessing in front.

    Args:
        network: Takes prepared images.
        prepare: Makes these of pictures.
        side: Of the input, where it is padded; None where it is not.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, network: nn.Module, prepare: Preparation, side: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.prepare = prepare
        places = torch.arange(float(side or 0))
        self.register_buffer("rows", places.view(1, 1, -1, 1))
        self.register_buffer("columns", places.view(1, 1, 1, -1))

    def forward(self, image: torch.Tensor, size: torch.Tensor | None = None) -> Any:
        """Return maps of pictures whose channels go from 0 to 255.

        Args:
            image: `(1, 3, side, side)`.
            size: Height and width of the picture in it, `(2,)`; what lies beyond does not count.
        """
        x = self.prepare(image)
        if size is not None:
            x = x * (self.rows < size[0]) * (self.columns < size[1])
        found = self.network(x)
        return tuple(found) if isinstance(found, list) else found


def output_names(architecture: Network) -> tuple[str, ...]:
    """Return what a network's outputs are called in the files that it is exported to."""
    if architecture.num_classes:
        return ("scores",)
    if architecture.output in SAM_STEP:
        return ("embedding",)
    return ("stride_4", "stride_8", "stride_16", "stride_32")


def core_ml_maps(
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
    package stores, as a classifier is.

    Args:
        package: Where it is written.
        fused: The fused network.
        subject: What the package says of itself.
        images: Prepared images to compare on; a SAM encoder's are compared padded.
        scores: The training form's answers to prepared images.
        bits: Of a stored weight.

    Returns:
        The form, how often each operation occurs in it, and the network that it holds.

    Raises:
        RepvitNasError: The program has other operations or weights than the network, or other answers.
        FileError: It cannot be written.
    """
    architecture = subject.architecture
    side, padded = architecture.resolution, architecture.output in SAM_STEP
    names, prepare = output_names(architecture), Preparation.of(fused)
    if padded and side > _MOST_SIDE:
        raise RepvitNasError(
            f"a Core ML package pads to at most {_MOST_SIDE} px; got an encoder of {side} px"
        )
    encoder = Encoder(fused, prepare, side if padded else None)
    model = _converted(encoder.eval(), side, names, padded=padded)
    written = write_package(model, package, fused, subject, bits)
    # A picture that is not square, as nearly all are.
    size = torch.tensor([float(side), float(max(1, side * 3 // 4))]) if padded else None
    pixels = prepare.pixels(images[:MAPS])
    taken = prepare(pixels)
    if size is not None:
        taken[..., int(size[1]) :] = 0
    before = scores(taken)
    expected = before if bits == HALF else torch_scores(written.network, taken)
    if platform.system() == "Darwin":
        run, ran = _by_core_ml(package), "Core ML"
    else:
        run, ran = _interpreted(written.program), "interpreter in half precision"
    parts = [run(image, size, names) for image in pixels[:, None]]
    found = [np.concatenate(each) for each in zip(*parts, strict=True)]
    form = compared_form(
        written, package, bits, found=found, expected=expected, before=before, ran=ran
    )
    return form, written.operations, written.network


def _converted(encoder: Encoder, side: int, names: tuple[str, ...], *, padded: bool) -> Any:
    tools: Any = coremltools()
    shape = (1, 3, side, side)
    inputs = [tools.ImageType(name=IMAGE, shape=shape, color_layout=tools.colorlayout.RGB)]
    shapes: list[tuple[int, ...]] = [shape]
    if padded:
        inputs.append(tools.TensorType(name=SIZE, shape=(2,), dtype=np.float16))
        shapes.append((2,))
    outputs = [tools.TensorType(name=name, dtype=np.float16) for name in names]
    return converted(encoder, *shapes, inputs=inputs, outputs=outputs)


def _interpreted(program: Any) -> Any:
    """Return what runs a program in half precision by torch."""
    from repvit_nas.conversion.mil import run_named

    def run(image: torch.Tensor, size: torch.Tensor | None, names: tuple[str, ...]) -> Answers:
        taken = {IMAGE: image.numpy()} | ({} if size is None else {SIZE: size.numpy()})
        found = run_named(program, taken)
        return [found[name] for name in names]

    return run


def _by_core_ml(package: Path) -> Any:
    """Return what runs a package by Core ML itself, on a Mac."""
    from PIL import Image

    model = coremltools().models.MLModel(str(package))

    def run(image: torch.Tensor, size: torch.Tensor | None, names: tuple[str, ...]) -> Answers:
        picture = Image.fromarray(image[0].permute(1, 2, 0).to(torch.uint8).numpy())
        sides = {} if size is None else {SIZE: size.numpy().astype(np.float16)}
        found = model.predict({IMAGE: picture} | sides)
        return [np.asarray(found[name], dtype=np.float32) for name in names]

    return run
