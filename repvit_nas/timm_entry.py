"""Registers `repvit_nas` with timm: `timm.create_model("repvit_nas", architecture=...)`.

Imported when timm has been imported, so it imports nothing heavy itself: whoever imports timm for
another reason pays nothing for us.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import (
    build_model_with_cfg,
    generate_default_cfgs,
    get_pretrained_cfg,
    register_model,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from repvit_nas.architecture import Architecture
    from repvit_nas.search_space.family import Reference
    from repvit_nas.units import Listed, Network

    Named = str | Path | Architecture | Listed | Mapping[str, Any]

_TIMMS_SIDE: Final = 224
# What `repvit_nas` is where only the name can be given, as in segmentation libraries.
DEFAULT: Final = "repvit_m1_0"
# timm looks for this name when it registers the model below.
default_cfgs = generate_default_cfgs(
    {
        "repvit_nas.untrained": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.95,
            "interpolation": "bicubic",
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "stem.conv1.c",
            "classifier": ("head.head.l", "head.head_dist.l"),
            "license": "apache-2.0",
        }
    }
)


@register_model
def repvit_nas(
    pretrained: bool = False,
    *,
    architecture: "Named" = DEFAULT,
    pretrained_cfg: Any = None,
    out_indices: tuple[int, ...] = (0, 1, 2, 3),
    **kwargs: Any,
) -> "torch.nn.Module":
    """Build a RepViT network of any architecture.

    Args:
        pretrained: Load timm's published weights of a reference network, or those that
            `pretrained_cfg` names.
        architecture: A reference name, an architecture file, a winner of a run, an architecture,
            a network told by its units, or the content of an architecture file. Libraries that build
            encoders by timm's name alone get a reference network.
        pretrained_cfg: timm's configuration of pretrained weights, or one of timm's tags, such as
            `dist_450e_in1k`; by default timm's own default.
        out_indices: Stages whose maps `features_only=True` returns.
        **kwargs: Arguments of :class:`RepVitNas` and of timm's model builder.
    """
    from repvit_nas.errors import RepvitNasError
    from repvit_nas.network.branches import in_form
    from repvit_nas.network.model import network_class
    from repvit_nas.network.weights import from_official, is_official, unwrapped
    from repvit_nas.networks import check_buildable
    from repvit_nas.search_space.family import family
    from repvit_nas.units import Listed

    built = resolve(architecture)
    check_buildable(built)
    if isinstance(built, Listed):
        return _listed(built, pretrained, pretrained_cfg, kwargs)
    known = _reference(built)
    if known is not None:
        kwargs.setdefault("legacy", known.legacy)
    if pretrained_cfg is None and known is not None and known.timm:
        pretrained_cfg = get_pretrained_cfg(known.timm)
    if isinstance(pretrained_cfg, str) and known is not None and known.timm:
        tag = pretrained_cfg.rpartition(".")[2]
        pretrained_cfg = get_pretrained_cfg(f"{known.timm.partition('.')[0]}.{tag}")
    overlay = kwargs.get("pretrained_cfg_overlay") or {}
    if pretrained and pretrained_cfg is None and not overlay:
        raise RepvitNasError(
            f"there are no published weights of {built.name or 'this architecture'} (weights go by "
            "the reference's name, so give that instead of a file); references "
            f"with weights: {', '.join(n.name for n in family().values() if n.timm)}"
        )

    kwargs["pretrained_cfg_overlay"] = _said(built, pretrained_cfg) | overlay

    def filtered(checkpoint: Mapping[str, Any], _: Any) -> "Mapping[str, torch.Tensor]":
        state = unwrapped(checkpoint)
        named = from_official(state, built) if is_official(state) else state
        form = {"branches": kwargs.get("branches", True), "legacy": kwargs.get("legacy", False)}
        found = in_form(named, **form)
        if kwargs["num_classes"]:
            return found
        return {key: value for key, value in found.items() if not key.startswith("head.")}

    kwargs.setdefault("num_classes", built.num_classes)
    model: torch.nn.Module = build_model_with_cfg(
        network_class(built, kwargs["num_classes"]),
        "repvit_nas",
        pretrained,
        pretrained_cfg=pretrained_cfg,
        pretrained_filter_fn=filtered,
        feature_cfg={"flatten_sequential": True, "out_indices": out_indices},
        architecture=built,
        **kwargs,
    )
    return model


def _listed(
    built: "Listed", pretrained: bool, pretrained_cfg: Any, kwargs: dict[str, Any]
) -> "torch.nn.Module":
    """Build a network that is told by its units; weights it has where `pretrained_cfg` names them."""
    from repvit_nas.errors import RepvitNasError
    from repvit_nas.network.listed import NO_MAPS, ListedNetwork
    from repvit_nas.network.weights import unwrapped

    if kwargs.get("features_only"):
        raise RepvitNasError(f"{built.name or 'the network'}: {NO_MAPS}; leave out features_only")
    overlay = kwargs.get("pretrained_cfg_overlay") or {}
    if pretrained and pretrained_cfg is None and not overlay:
        raise RepvitNasError(f"there are no published weights of {built.name or 'this network'}")
    said = _said(built, pretrained_cfg) | {"first_conv": None}
    kwargs["pretrained_cfg_overlay"] = said | overlay
    kwargs.setdefault("num_classes", built.num_classes)
    kwargs.pop("legacy", None)
    model: torch.nn.Module = build_model_with_cfg(
        ListedNetwork,
        "repvit_nas",
        pretrained,
        pretrained_cfg=pretrained_cfg,
        pretrained_filter_fn=lambda checkpoint, _: unwrapped(checkpoint),
        architecture=built,
        **kwargs,
    )
    return model


def resolve(named: "Named") -> "Network":
    """Return the network that a name, a file, a winner or a document stands for."""
    from repvit_nas.named import load_network
    from repvit_nas.networks import network_from

    if isinstance(named, Mapping):
        return network_from("architecture", dict(named))
    return load_network(named)


def _said(architecture: "Network", pretrained_cfg: Any) -> dict[str, Any]:
    """Return what timm's configuration says of a network, where none from outside says it itself."""
    from repvit_nas.units import stage_sizes

    # What is saved is built again by our entry, also where timm has a network of the same shape.
    said: dict[str, Any] = {"architecture": "repvit_nas"}
    side = architecture.resolution
    states_input = isinstance(pretrained_cfg, Mapping) and "input_size" in pretrained_cfg
    if side != _TIMMS_SIDE and not states_input:
        last = stage_sizes(side)[-1]
        said |= {"input_size": (3, side, side), "pool_size": (last, last)}
    if pretrained_cfg is None:
        said["num_classes"] = architecture.num_classes
    return said


def _reference(architecture: "Architecture") -> "Reference | None":
    """Return the reference network that an architecture is, whatever its resolution or head."""
    from repvit_nas.architecture import with_output
    from repvit_nas.search_space.family import family

    for network in family().values():
        same = with_output(
            network.architecture,
            architecture.output,
            num_classes=architecture.num_classes,
            resolution=architecture.resolution,
        )
        if architecture == same:
            return network
    return None
