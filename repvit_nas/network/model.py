"""A RepViT network as a torch module, built from the rows of its architecture.

Modules, their names and their arithmetic are timm's (`timm.models.repvit`): the state dict of a
network that timm can express is timm's, key by key. What timm cannot express is added here: SE per
block, expansions that are no integers, one expansion and kernel per stage, and a fusion of the
depthwise branches that is right for every kernel.
"""

import itertools
from collections.abc import MutableMapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, cast

import msgspec
import torch
from timm.layers.squeeze_excite import SEModule as SqueezeExcite
from timm.models.repvit import (
    ConvNorm,
    RepVggDw,
    RepVit,
    RepVitClassifier,
    RepVitMlp,
    RepVitStem,
)
from torch import nn

from repvit_nas.architecture import FEATURES, LOGITS, Architecture
from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.network.necks import SamNeck, StageFusingNeck
from repvit_nas.network.weights import from_official, is_official
from repvit_nas.units import Block, Downsample, End, Ffn, Stem, Unit, rows

# Stride of the maps of the four stages.
REDUCTIONS = (4, 8, 16, 32)


class TrainingForm(NamedTuple):
    """How a network looks while it trains; fused, all forms are one.

    Attributes:
        legacy: The older form of the branches, each with a batch norm of its own.
        branches: Three of them in every depthwise convolution of a block, or one.
    """

    legacy: bool = False
    branches: bool = True


BRANCHED: Final = TrainingForm()


class TokenMixer(RepVggDw):
    """A depthwise convolution trained as three branches, fused into one.

    As timm's, but for the fusion: timm pads the 1x1 branches to 3x3 whatever the kernel is.
    """

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """Return the one convolution that does what the branches do."""
        return fuse_branches(self)


@torch.no_grad()
def fuse_branches(mixer: RepVggDw) -> nn.Conv2d:
    """Return the one convolution that does what the branches of a token mixer do."""
    fused = _fused(mixer.conv)
    branch = _fused(mixer.conv1) if isinstance(mixer.conv1, ConvNorm) else mixer.conv1
    centre = fused.kernel_size[0] // 2
    # In double precision, the sum of three branches loses nothing of its own.
    weight, bias = fused.weight.double(), _bias(fused).double() + _bias(branch).double()
    weight[:, :, centre, centre] += branch.weight.double()[:, :, 0, 0] + 1.0
    if isinstance(mixer.bn, nn.BatchNorm2d):
        scale, shift = _affine(mixer.bn)
        weight, bias = weight * scale[:, None, None, None], bias * scale + shift
    fused.weight.copy_(weight)
    _bias(fused).copy_(bias)
    return fused


def depthwise(width: int, kernel: int, stride: int = 1) -> ConvNorm:
    """Return a depthwise convolution in one branch, with its batch norm."""
    return ConvNorm(width, width, kernel, stride, kernel // 2, groups=width)


def spatial(unit: Downsample | Widen) -> ConvNorm:
    """Return the depthwise convolution of a downsample, which has a stride where the unit has."""
    return depthwise(unit.c_in, unit.kernel, 2 if isinstance(unit, Downsample) else 1)


def token_mixer(width: int, kernel: int, form: TrainingForm) -> nn.Module:
    """Return the depthwise convolution of a block in training form."""
    return TokenMixer(width, kernel, form.legacy) if form.branches else depthwise(width, kernel)


def gate(width: int, bottleneck: int) -> nn.Module:
    """Return SE of so many bottleneck channels; of 0, nothing."""
    return SqueezeExcite(width, rd_channels=bottleneck) if bottleneck else nn.Identity()


def _fused(layer: ConvNorm) -> nn.Conv2d:
    return cast("nn.Conv2d", layer.fuse())  # type: ignore[no-untyped-call]


def _bias(layer: nn.Conv2d) -> torch.Tensor:
    if layer.bias is None:
        raise ValueError("a depthwise branch must have a bias to be fused; got none")
    return layer.bias


def _affine(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift of a batch norm in evaluation mode, in double precision."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm must keep running statistics to be fused; it keeps none")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


class RepVitBlock(nn.Module):
    """A RepViT block: token mixer, SE where the unit has it, and a residual FFN."""

    def __init__(self, unit: Block, act_layer: type[nn.Module], form: TrainingForm) -> None:
        super().__init__()
        self.token_mixer = token_mixer(unit.width, unit.kernel, form)
        self.se = gate(unit.width, unit.se)
        self.channel_mixer = RepVitMlp(unit.width, unit.hidden, act_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the block on `(batch, width, size, size)`."""
        x = self.se(self.token_mixer(x))
        mixed: torch.Tensor = x + self.channel_mixer(x)
        return mixed


class RepVitDownsample(nn.Module):
    """What opens a stage: a block, a stride-2 depthwise and a 1x1 convolution, a residual FFN.

    The depthwise convolution of a :class:`repvit_nas.units.Widen` has no stride.
    """

    def __init__(
        self,
        pre_block: Block,
        unit: Downsample | Widen,
        ffn: Ffn,
        act_layer: type[nn.Module],
        form: TrainingForm,
    ) -> None:
        super().__init__()
        self.pre_block = RepVitBlock(pre_block, act_layer, form)
        self.spatial_downsample = spatial(unit)
        self.channel_downsample = ConvNorm(unit.c_in, unit.c_out)
        self.ffn = RepVitMlp(ffn.width, ffn.hidden, act_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the units on `(batch, c_in, size, size)`."""
        return self.change(self.pre_block(x))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        """Run what is behind the block."""
        x = self.channel_downsample(self.spatial_downsample(x))
        mixed: torch.Tensor = self.ffn(x) + x
        return mixed


class PlainDownsample(nn.Module):
    """A stride-2 depthwise and a 1x1 convolution alone, as `downsample` plain opens a stage."""

    def __init__(self, unit: Downsample | Widen) -> None:
        super().__init__()
        self.spatial_downsample = spatial(unit)
        self.channel_downsample = ConvNorm(unit.c_in, unit.c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, c_in, size, size)`."""
        y: torch.Tensor = self.channel_downsample(self.spatial_downsample(x))
        return y


class RepVitStage(nn.Module):
    """One stage: its opening, if it has one, and its blocks."""

    def __init__(self, downsample: nn.Module, blocks: list[RepVitBlock]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the stage."""
        y: torch.Tensor = self.blocks(self.downsample(x))
        return y


class RepVitNas(RepVit):
    """A RepViT network of any architecture, with everything timm's models can do.

    Args:
        architecture: The network.
        in_chans: Channels of the input image.
        num_classes: Outputs of the classifier; None takes the architecture's. A classifier that is
            asked for 0 returns what its head would get, pooled, as timm's networks do; an
            architecture of 0 classes is :class:`RepVitMaps`.
        global_pool: `avg`, or empty for none.
        distillation: A second head that learns from a teacher, averaged with the first one.
        legacy: The older form of the depthwise branches, as in timm's `repvit_m1` to `repvit_m3`.
        branches: Train the depthwise convolutions as three branches; else as one with its batch norm,
            which fuses into the same network.
        drop_rate: Dropout before the classifier.
        act_layer: The activation in stem and FFNs.
        img_size: Accepted for timm's sake; the network takes any size.
    """

    # What timm's `create_model` was asked is of no use to a compiled network.
    __jit_unused_properties__: ClassVar[list[str]] = ["_model_args"]

    def __init__(
        self,
        architecture: Architecture,
        *,
        in_chans: int = 3,
        num_classes: int | None = None,
        global_pool: str = "avg",
        distillation: bool = True,
        legacy: bool = False,
        branches: bool = True,
        drop_rate: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        img_size: int | None = None,  # noqa: ARG002
    ) -> None:
        nn.Module.__init__(self)  # timm's own constructor knows only its own networks
        if global_pool not in ("", "avg"):
            raise ValueError(f"global_pool must be 'avg' or ''; got {global_pool!r}")
        self._asked: dict[str, Any] = {}
        self.architecture = architecture
        self.legacy = legacy
        self.branches = branches
        self.grad_checkpointing = False
        self.global_pool = global_pool
        self.in_chans = in_chans
        self.num_classes = architecture.num_classes if num_classes is None else num_classes
        self.embed_dim = tuple(stage.width for stage in architecture.stages)
        units = rows(architecture)
        self.stem = RepVitStem(in_chans, self.embed_dim[0], act_layer)
        self.stages = nn.Sequential(*_stages(units, act_layer, TrainingForm(legacy, branches)))
        self.feature_info = [
            {"num_chs": width, "reduction": reduction, "module": f"stages.{index}"}
            for index, (width, reduction) in enumerate(zip(self.embed_dim, REDUCTIONS, strict=True))
        ]
        self.num_features = self.head_hidden_size = self.embed_dim[-1]
        self.head_drop = nn.Dropout(drop_rate)
        self.register_load_state_dict_pre_hook(_accept_official)  # type: ignore[no-untyped-call]
        self.head = RepVitClassifier(self.num_features, self.num_classes, distillation)

    @property
    def _model_args(self) -> dict[str, Any]:
        """What timm saves beside the weights to build the network again.

        The network itself, as a document: a path or the name of a run means something else, or
        nothing, where the weights are loaded.
        """
        document = msgspec.to_builtins(self.architecture)
        form = {"legacy": self.legacy, "branches": self.branches}
        return {**self._asked, "architecture": document, **form}

    @_model_args.setter
    def _model_args(self, asked: dict[str, Any]) -> None:
        self._asked = dict(asked)


class RepVitMaps(RepVitNas):
    """The network of an architecture of no classes: it hands back the maps of its four stages.

    So it is priced as well (:class:`repvit_nas.units.Features`). With a classifier put in by
    `reset_classifier` it answers as any other network.

    Args:
        architecture: The network.
        taps: Where the maps of the first three stages are taken: `before` the block that opens the
            next stage, as RepViT's detectors and timm do, or `after` it, as RepViT's segmenters do.
        **kwargs: Of :class:`RepVitNas`.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        taps: Literal["before", "after"] = "before",
        **kwargs: Any,
    ) -> None:
        if taps not in ("before", "after"):
            raise ValueError(f"taps must be 'before' or 'after'; got {taps!r}")
        super().__init__(architecture, **kwargs)
        self.taps = taps

    def forward(self, x: torch.Tensor) -> Any:
        """Return the four maps, `(batch, width, side, side)` at strides 4, 8, 16 and 32."""
        if self.num_classes:
            return super().forward(x)  # type: ignore[no-untyped-call]
        maps: list[torch.Tensor] = []
        x = self.stem(x)
        stage: Any
        for stage in self.stages:
            if maps and self.taps == "after" and isinstance(stage.downsample, RepVitDownsample):
                maps[-1] = stage.downsample.pre_block(x)
                x = stage.blocks(stage.downsample.change(maps[-1]))
            else:
                x = stage(x)
            maps.append(x)
        return maps


class RepVitEncoder(RepVitNas):
    """An encoder of SAM's: the network of an architecture whose output is one map, behind a neck."""

    def __init__(self, architecture: Architecture, **kwargs: Any) -> None:
        super().__init__(architecture, **kwargs)
        # What `segment_anything.Sam` asks of an encoder.
        self.img_size = architecture.resolution
        neck = rows(architecture)[-1]
        match neck:
            case Neck():
                self.neck: nn.Module = SamNeck(neck)
            case FusedNeck():
                self.neck = StageFusingNeck(neck)
            case _:
                raise TypeError(f"{type(neck).__name__} is no neck")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map, `(batch, 256, side / 16, side / 16)`."""
        x = before = self.stem(x)
        for stage in self.stages:
            before, x = x, stage(x)
        if isinstance(self.neck, StageFusingNeck):
            return self.neck(before, x)  # type: ignore[no-any-return]
        return self.neck(x)  # type: ignore[no-any-return]


def network_class(architecture: Architecture, num_classes: int) -> type[RepVitNas]:
    """Return the class of an architecture's network, which a classifier put behind it makes one."""
    if num_classes or architecture.output == LOGITS:
        return RepVitNas
    return RepVitMaps if architecture.output == FEATURES else RepVitEncoder


def _accept_official(
    model: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: object
) -> None:
    """Rename the keys of an official checkpoint in place, so that it loads as any other does."""
    if not isinstance(model, RepVitNas):
        return
    own = {key.removeprefix(prefix): key for key in state if key.startswith(prefix)}
    if is_official(own):
        values = {short: state.pop(key) for short, key in own.items()}
        renamed = from_official(values, model.architecture)
        state.update({f"{prefix}{name}": value for name, value in renamed.items()})


def _stages(
    units: Sequence[Unit], act_layer: type[nn.Module], form: TrainingForm
) -> list[RepVitStage]:
    """Build the stages from the rows of a network.

    The block before a downsample belongs to the stage that the downsample opens.
    """
    stages: list[RepVitStage] = []
    opening: nn.Module = nn.Identity()
    blocks: list[Block] = []

    def close() -> None:
        built = [RepVitBlock(unit, act_layer, form) for unit in blocks]
        stages.append(RepVitStage(opening, built))

    for unit, following in itertools.pairwise((*units, None)):
        match unit, following:
            case Block(), _:
                blocks.append(unit)
            case ((Downsample() | Widen()), Ffn()):
                pre_block = blocks.pop()
                close()
                opening = RepVitDownsample(pre_block, unit, following, act_layer, form)
                blocks = []
            case ((Downsample() | Widen()), _):
                close()
                opening = PlainDownsample(unit)
                blocks = []
            case _ if isinstance(unit, Stem | Ffn | End):
                pass  # the stem is built apart, an FFN with its downsample, a head by timm
            case _:
                raise TypeError(f"{type(unit).__name__} is no unit of a RepViT network")
    close()
    return stages
