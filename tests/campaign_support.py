"""Campaigns of networks that train in a fraction of a second, for tests."""

import io

import numpy as np

from repvit_nas.accuracy.observations import AccuracyObservation
from repvit_nas.campaign.opening import open_campaign
from repvit_nas.campaign.records import CampaignAsked
from repvit_nas.campaign.training import Result, circumstances_of, losses_name
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.spec import DataSpec


def asked(**changes):
    """Ask for networks of the space cifar that train in a fraction of a second."""
    recipe = load_recipe("proxy", {"epochs": 1, "batch": 16, **changes.pop("recipe", {})})
    given = {
        "data": DataSpec(name="shapes", train_images=48, val_images=24),
        "recipe": recipe,
        "recipe_name": "proxy",
        "space": "cifar",
        "budgets_ms": {"cpu-epyc": 0.15},
        "held_out": 2,
    }
    return CampaignAsked(**(given | changes))


def begun(name="shapes", agree=lambda _: None, **changes):
    """Begin a campaign in the working directory, or go on with it."""
    return open_campaign(name, asked(**changes), foreign=True, anyway=True, agree=agree)


def result_of(task, file, top1=80.0):
    """Return what a training of a task of a campaign may say."""
    losses = io.BytesIO()
    np.save(losses, np.linspace(0.1, 2.0, file.val_images, dtype=np.float32))
    observation = AccuracyObservation(
        architecture=task.architecture,
        circumstances=circumstances_of(file),
        seed=task.seed,
        top1=top1,
        images=file.val_images,
        losses=losses_name(task),
        held_out=task.role == "held out",
        origin="trained here",
        source=task.name,
    )
    return Result(observation, losses.getvalue(), 2.5, "somebody")
