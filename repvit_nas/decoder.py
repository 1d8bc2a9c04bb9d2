"""SAM's own prompt encoder and mask decoder, from `segment_anything`, for maps of one of our encoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from repvit_nas.architecture import SAM, SAM_CHANNELS, SAM_STEP
from repvit_nas.errors import FileError, RepvitNasError

if TYPE_CHECKING:
    import torch

# SAM's own sizes: channels of a mask prompt, masks for a prompt, and of the decoder's transformer.
_MASK_CHANNELS: Final = 16
_MASKS: Final = 3
_TRANSFORMER: Final[dict[str, int]] = {"depth": 2, "mlp_dim": 2048, "num_heads": 8}


class SamDecoder(NamedTuple):
    """What makes masks of a map: SAM's modules.

    Attributes:
        prompts: Its `PromptEncoder`.
        masks: Its `MaskDecoder`.
    """

    prompts: Any
    masks: Any


def segment_anything() -> Any:
    """Return `segment_anything.modeling`.

    Raises:
        RepvitNasError: It is not installed.
    """
    try:
        from segment_anything import modeling
    except ImportError as error:
        raise RepvitNasError("SAM's decoder needs: pip install 'repvit-nas[sam]'") from error
    return modeling


def new_decoder(side: int) -> SamDecoder:
    """Return an untrained decoder of maps of pictures of `side` pixels.

    Raises:
        RepvitNasError: `segment-anything` is not installed.
    """
    modules = segment_anything()
    height = side // SAM_STEP[SAM]
    return SamDecoder(
        prompts=modules.PromptEncoder(
            embed_dim=SAM_CHANNELS,
            image_embedding_size=(height, height),
            input_image_size=(side, side),
            mask_in_chans=_MASK_CHANNELS,
        ),
        masks=modules.MaskDecoder(
            num_multimask_outputs=_MASKS,
            transformer=modules.TwoWayTransformer(embedding_dim=SAM_CHANNELS, **_TRANSFORMER),
            transformer_dim=SAM_CHANNELS,
        ),
    )


def decoder_weights(path: Path) -> "dict[str, torch.Tensor]":
    """Return the weights of prompt encoder and mask decoder of a checkpoint of SAM, by its names.

    Raises:
        FileError: It cannot be read, or holds none.
    """
    from repvit_nas.network.weights import DECODER
    from repvit_nas.training.start import read_weights

    state = read_weights(path)
    decoder = {key: value for key, value in state.items() if key.startswith(DECODER)}
    if not decoder:
        raise FileError(f"{path}: holds no prompt encoder and mask decoder of SAM")
    return decoder


def read_decoder(path: Path, side: int) -> SamDecoder:
    """Return the decoder of a checkpoint of SAM, for maps of pictures of `side` pixels.

    Raises:
        RepvitNasError: `segment-anything` is not installed.
        FileError: The checkpoint cannot be read, or holds no decoder of SAM.
    """
    from repvit_nas.network.weights import DECODER
    from repvit_nas.training.checkpoint import load_strictly

    found, state = new_decoder(side), decoder_weights(path)
    for name, module in zip(DECODER, found, strict=True):
        own = {
            key.removeprefix(name): value for key, value in state.items() if key.startswith(name)
        }
        load_strictly(module.eval(), own, str(path))
    return found
