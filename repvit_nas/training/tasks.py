"""What is learned: timm's tasks, with a teacher or without, and the network that learns."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.recipe import NONE, Recipe
from repvit_nas.training.records import is_training_run
from repvit_nas.units import Network


def new_network(architecture: Network, recipe: Recipe, seed: int) -> nn.Module:
    """Return an untrained network, with a second head if a teacher asks for one."""
    from repvit_nas.network import create

    torch.manual_seed(seed)
    return create(
        architecture, distillation=recipe.distillation != NONE, branches=recipe.branches
    ).train()


def new_task(model: nn.Module, recipe: Recipe, device: torch.device) -> Any:
    """Return timm's task: the network's loss on a batch.

    Raises:
        RepvitNasError: The teacher cannot be had, or knows other classes.
    """
    from timm.task import ClassificationTask, TokenDistillationTask

    # Mixing smooths the labels itself.
    loss: dict[str, Any] = (
        {"soft_targets": True} if recipe.mixed else {"smoothing": recipe.smoothing}
    )
    if recipe.distillation == NONE:
        return ClassificationTask(model, criterion_kwargs=loss, device=device, verbose=False)
    teacher = load_teacher(recipe.teacher, cast("Any", model).num_classes).to(device)
    return TokenDistillationTask(
        model,
        teacher,
        criterion_kwargs=loss,
        distill_type=recipe.distillation,
        task_loss_weight=1 - recipe.alpha,
        distill_loss_weight=recipe.alpha,
        temperature=recipe.temperature,
        device=device,
        verbose=False,
    )


def require_teacher(recipe: Recipe, num_classes: int) -> None:
    """Make sure that the teacher of a recipe is here, before a training begins that would fail.

    Raises:
        RepvitNasError: As of :func:`load_teacher`.
    """
    if recipe.distillation != NONE:
        load_teacher(recipe.teacher, num_classes)


def load_teacher(name: str, num_classes: int) -> nn.Module:
    """Return a trained teacher: a run, or a model that timm has weights of.

    Raises:
        RepvitNasError: There is no such model, its weights cannot be had, or it knows other classes.
    """
    teacher = _trained(name)
    known = cast("Any", teacher).num_classes
    if known != num_classes:
        raise RepvitNasError(
            f"teacher {name!r} knows {known} classes, the images have {num_classes}; give a teacher "
            "of these classes with --teacher, or none with --set distillation=none"
        )
    return teacher.eval().requires_grad_(requires_grad=False)


def _trained(name: str) -> nn.Module:
    import timm

    from repvit_nas.training.trained import load_trained, trained_run

    if is_training_run(Path(name)):
        return load_trained(trained_run(name))
    if not timm.is_model(name):
        raise RepvitNasError(
            f"teacher {name!r} is missing: it is neither a training run's folder nor a model of timm"
        )
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever a download can raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise RepvitNasError(
            f"teacher {name!r}: its weights cannot be had ({said[:200]}); download them first, or "
            "train without a teacher with --set distillation=none"
        ) from error
