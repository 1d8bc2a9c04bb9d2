"""A network that is told by its units, as a torch module with what timm asks of a classifier."""

from typing import Any, ClassVar, Final, cast

import msgspec
import torch
from timm.models import checkpoint_seq
from timm.models.repvit import RepVitClassifier
from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.network.model import TrainingForm
from repvit_nas.network.path_pieces import WideClassifier
from repvit_nas.network.pieces import unit_module
from repvit_nas.networks import adapted
from repvit_nas.path_units import WideHead
from repvit_nas.units import Listed, ends

NO_MAPS: Final = "a network told by its units has no stages whose maps it could hand back"


class ListedNetwork(nn.Module):
    """A chain of units with a classifier at its end; its parts are those of a RepViT network.

    Args:
        architecture: The network.
        in_chans: Channels of the input image.
        num_classes: Outputs of the classifier; None takes the network's.
        distillation: A second head that learns from a teacher, averaged with the first one.
        branches: See :class:`RepVitNas`.
        drop_rate: Dropout before the classifier.
        img_size: Accepted for timm's sake; the network takes any size.

    Raises:
        RepvitNasError: It takes images of other channels, or has MobileNetV3's head, which learns from
            no teacher.
    """

    # What timm's `create_model` was asked is of no use to a compiled network.
    __jit_unused_properties__: ClassVar[list[str]] = ["_model_args"]
    legacy: Final = False

    def __init__(
        self,
        architecture: Listed,
        *,
        in_chans: int = 3,
        num_classes: int | None = None,
        distillation: bool = False,
        branches: bool = True,
        drop_rate: float = 0.0,
        img_size: int | None = None,  # noqa: ARG002
    ) -> None:
        super().__init__()
        takes = ends(architecture.units[0]).channels_in
        if in_chans != takes:
            raise RepvitNasError(
                f"in_chans must be {takes}, as the first unit of the network has it; got {in_chans}"
            )
        self._asked: dict[str, Any] = {}
        self.architecture = architecture
        self.in_chans = in_chans
        self.branches = branches
        self.grad_checkpointing = False
        self.num_features = self.head_hidden_size = ends(architecture.units[-1]).channels_in
        form = TrainingForm(branches=branches)
        self.units = nn.Sequential(*(unit_module(unit, form) for unit in architecture.units[:-1]))
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(
            architecture.num_classes if num_classes is None else num_classes,
            distillation=distillation,
        )

    @property
    def _model_args(self) -> dict[str, Any]:
        """What timm saves beside the weights to build the network again."""
        document = msgspec.to_builtins(self.architecture)
        return {**self._asked, "architecture": document, "branches": self.branches}

    @_model_args.setter
    def _model_args(self, asked: dict[str, Any]) -> None:
        self._asked = dict(asked)

    def reset_classifier(
        self, num_classes: int, global_pool: str = "avg", *, distillation: bool = False
    ) -> None:
        """Put in a new classifier.

        Raises:
            RepvitNasError: It has none, or one of MobileNetV3's that should learn from a teacher.
        """
        if not num_classes or global_pool != "avg":
            raise RepvitNasError(f"{NO_MAPS}: give it classes and global_pool 'avg'")
        if isinstance(self.architecture.units[-1], WideHead) and distillation:
            raise RepvitNasError(
                f"{self.architecture.name or 'the network'}: MobileNetV3's head has no second one that "
                "learns from a teacher; train it with --teacher none"
            )
        self.num_classes = num_classes
        last = cast("Listed", adapted(self.architecture, num_classes=num_classes)).units[-1]
        self.head: nn.Module = (
            WideClassifier(last)
            if isinstance(last, WideHead)
            else RepVitClassifier(self.num_features, num_classes, distillation)
        ).train(self.training)

    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        return self.head

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute activations again in the backward pass instead of keeping them."""
        self.grad_checkpointing = enable

    def set_distilled_training(self, enable: bool = True) -> None:
        """Let the heads answer apart while the network trains."""
        cast("Any", self.head).distilled_training = enable

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last map, `(batch, width, side, side)`."""
        if self.grad_checkpointing and self.training:
            return cast("torch.Tensor", checkpoint_seq(self.units, x))
        return cast("torch.Tensor", self.units(x))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Return scores of the last map, `(batch, classes)`; or the pooled map, before any layer."""
        if not isinstance(self.architecture.units[-1], WideHead) or pre_logits:
            x = x.mean((2, 3))
        x = self.head_drop(x)
        return x if pre_logits else cast("torch.Tensor", self.head(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores, `(batch, classes)`; of two heads in training, both."""
        return self.forward_head(self.forward_features(x))
