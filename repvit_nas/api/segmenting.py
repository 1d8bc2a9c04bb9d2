"""`sam`: Segment Anything with one of our encoders; prompt encoder and mask decoder stay SAM's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from repvit_nas.api.loading import path_of
from repvit_nas.architecture import SAM, SAM_STEP
from repvit_nas.decoder import decoder_weights, new_decoder, segment_anything
from repvit_nas.errors import RepvitNasError
from repvit_nas.named import Named, load, load_architecture

if TYPE_CHECKING:
    import torch

_ENCODER: Final = "image_encoder."


def sam(encoder: Named, checkpoint: str | Path | None = None) -> Any:
    """Return a `segment_anything.Sam` whose image encoder is one of our networks.

    Args:
        encoder: A run that matched SAM's map (`train --task match`), or anything else that names a
            network, which becomes an encoder at 1024 px.
        checkpoint: Weights of SAM, such as `sam_vit_h_4b8939.pth`, of which the prompt encoder and the
            mask decoder are taken; or of RepViT-SAM (`repvit_sam.pt`), whose encoder is taken too where
            `encoder` is not trained. None leaves them untrained.

    Returns:
        The model in evaluation mode, for `segment_anything.SamPredictor`.

    Raises:
        RepvitNasError: `segment-anything` is not installed, the run is of another output, or there are no
            weights of the encoder.
        FileError: The checkpoint cannot be read, or holds no decoder of SAM.
    """
    from repvit_nas.training.records import is_training_run

    modules = segment_anything()
    trained = isinstance(encoder, str | Path) and is_training_run(Path(encoder))
    output = load_architecture(encoder).output
    network: Any = load(encoder, output=output if output in SAM_STEP else SAM)
    decoder = new_decoder(network.img_size)
    model = modules.Sam(
        image_encoder=network,
        prompt_encoder=decoder.prompts,
        mask_decoder=decoder.masks,
    )
    if checkpoint is not None:
        _take(model, path_of("checkpoint", checkpoint), trained=trained)
    return model.eval()


def _take(model: "torch.nn.Module", path: Path, *, trained: bool) -> None:
    """Load a checkpoint's decoder, and its encoder if ours has no weights of its own."""
    from repvit_nas.training.checkpoint import load_strictly
    from repvit_nas.training.start import read_weights

    own, decoder = model.state_dict(), decoder_weights(path)
    kept = {key: value for key, value in own.items() if key.startswith(_ENCODER)}
    if not trained:
        from repvit_nas.network.weights import from_official, is_official

        theirs = {
            key: value for key, value in read_weights(path).items() if key.startswith(_ENCODER)
        }
        if not is_official(theirs):
            raise RepvitNasError(
                f"{path}: holds no RepViT encoder, and the network is untrained; give a run that train "
                "--task match left, or the checkpoint of RepViT-SAM"
            )
        encoder: Any = model.image_encoder
        named = from_official(theirs, encoder.architecture)
        kept = {f"{_ENCODER}{key}": value for key, value in named.items()}
    load_strictly(model, decoder | kept, str(path))
