"""Campaigns of networks that train in a fraction of a second, for tests."""

from repvit_nas.campaign.opening import open_campaign
from repvit_nas.campaign.records import CampaignAsked
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
