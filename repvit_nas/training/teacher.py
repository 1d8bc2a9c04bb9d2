"""A teacher of maps: an ONNX or TorchScript file, a run, or a model of timm that makes a map of an image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.records import WEIGHTS_FILE, file_digest, is_training_run

# Maps `(images, channels, height, width)` of prepared images.
Mapper = Callable[[torch.Tensor], torch.Tensor]
_ONNX: Final = ".onnx"
_TORCHSCRIPT: Final = (".pt", ".pth", ".ts", ".torchscript")


class Teacher(NamedTuple):
    """What maps are learned from.

    Attributes:
        name: What it was asked for by.
        maps: Makes them.
        digest: Of its file; of its name where it has none.
    """

    name: str
    maps: Mapper
    digest: str


def load_map_teacher(name: str, device: torch.device) -> Teacher:
    """Load a teacher of maps.

    Args:
        name: An ONNX or TorchScript file, the folder of a run that was trained for a map, or timm's
            name of a model with weights, whose features before its head are taken.
        device: Where it is computed; an ONNX file by CUDA where onnxruntime has that.

    Raises:
        RepvitNasError: There is no such teacher, it has several outputs, or its library is missing.
        FileError: Its file cannot be read.
    """
    path = Path(name)
    if is_training_run(path):
        from repvit_nas.training.trained import load_trained, trained_run

        run = trained_run(path)
        return _of_module(name, load_trained(run), device, run.weights.found)
    if path.suffix.lower() == _ONNX:
        return Teacher(name, _onnx(path), _digest(path))
    if path.suffix.lower() in _TORCHSCRIPT:
        return _of_module(name, _scripted(path, device), device, _digest(path))
    return _of_module(name, _Features(_of_timm(name)), device, name)


def teacher_digest(name: str) -> str:
    """Return what tells a teacher from another one of the same name: the digest of its file."""
    path = Path(name)
    if is_training_run(path):
        return file_digest(path / WEIGHTS_FILE)
    return _digest(path) if path.is_file() else ""


def check_map(teacher: Teacher, wanted: tuple[int, int, int], resolution: int) -> None:
    """Make sure that a teacher's map is of the size and the channels of the network's.

    Args:
        teacher: The teacher.
        wanted: Channels, height and width of the network's map.
        resolution: Side of the input.

    Raises:
        RepvitNasError: It is not, or the teacher cannot take such an input.
    """
    side = (resolution, resolution)
    try:
        found = teacher.maps(torch.zeros(1, 3, *side))
    except RepvitNasError:
        raise
    except Exception as error:  # whatever a runtime raises for an input that it cannot take
        said = " ".join(str(error).split())[:160]
        raise RepvitNasError(
            f"--teacher {teacher.name}: cannot take an image of {resolution} px: {said}; give "
            "--resolution with the side that it was made for"
        ) from error
    shape = tuple(found.shape)
    if shape != (1, *wanted):
        raise RepvitNasError(
            f"--teacher {teacher.name}: makes a map of {shape[1:]} of an image of {resolution} px, the "
            f"network one of {wanted} (channels, height, width): they must be the same"
        )
    if not bool(found.isfinite().all()):
        raise RepvitNasError(f"--teacher {teacher.name}: makes no finite numbers of a black image")


class _Features(nn.Module):
    """What a model of timm makes before its head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        """Return the features."""
        return self.model.forward_features(x)


def _of_module(name: str, module: nn.Module, device: torch.device, digest: str) -> Teacher:
    model = module.to(device).eval()
    for parameter in model.parameters():  # a scripted module does not do it by itself
        parameter.requires_grad = False

    @torch.no_grad()
    def maps(images: torch.Tensor) -> torch.Tensor:
        found = model(images.to(device).contiguous())
        if not isinstance(found, torch.Tensor):
            raise RepvitNasError(
                f"--teacher {name}: hands back several things; a teacher makes one map"
            )
        return found.float()

    return Teacher(name, maps, digest)


def _onnx(path: Path) -> Mapper:
    try:
        import onnxruntime
    except ImportError as error:
        raise RepvitNasError("an ONNX teacher needs: pip install 'repvit-nas[onnx]'") from error
    try:
        with path.open("rb"):
            pass
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin while they wait take the cores from the network that learns.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            str(path), options, providers=_providers(onnxruntime)
        )
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # each damage has a kind of its own
        said = " ".join(str(error).split())[:160]
        raise FileError(f"{path}: is no ONNX model that runs here: {said}") from error
    outputs = [each.name for each in session.get_outputs()]
    if len(outputs) != 1:
        raise RepvitNasError(
            f"--teacher {path}: has {len(outputs)} outputs ({', '.join(outputs[:4])}); export one that "
            "makes the one map"
        )
    taken = session.get_inputs()
    if len(taken) != 1:
        raise RepvitNasError(
            f"--teacher {path}: takes {len(taken)} inputs; a teacher takes an image"
        )
    # A model that was exported for one image takes them one by one.
    alone = taken[0].shape[:1] == [1]

    def maps(images: torch.Tensor) -> torch.Tensor:
        pixels = images.cpu().contiguous().numpy()
        parts = np.split(pixels, len(pixels)) if alone else [pixels]
        made = [session.run(None, {taken[0].name: part})[0] for part in parts]
        return torch.cat([torch.from_numpy(each) for each in made]).float().to(images.device)

    return maps


def _providers(runtime: Any) -> list[str]:
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [name for name in wanted if name in runtime.get_available_providers()]


def _scripted(path: Path, device: torch.device) -> nn.Module:
    import warnings

    try:
        with path.open("rb"):
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of scripting
            return torch.jit.load(str(path), map_location=device)  # type: ignore[no-any-return,no-untyped-call]
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:
        raise FileError(
            f"{path}: is no TorchScript file; torch.jit.trace or an ONNX export makes a teacher of a model"
        ) from error


def _of_timm(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise RepvitNasError(
            f"--teacher {name}: is neither an ONNX file (.onnx), a TorchScript file "
            f"({', '.join(_TORCHSCRIPT)}), a training run's folder nor a model of timm"
        )
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever a download can raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise RepvitNasError(
            f"--teacher {name}: its weights cannot be had ({said[:200]}); download them first"
        ) from error


def _digest(path: Path) -> str:
    found = file_digest(path)
    if not found:
        raise FileError(f"{path}: cannot be read: No such file or directory")
    return found
