"""`repvit-nas measure-accuracy`: learn which networks are accurate on the user's images."""

import os
from pathlib import Path
from typing import Any, Final

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.artifacts import artifacts_options
from repvit_nas.commands.campaigning import ran_campaign
from repvit_nas.commands.finals import held_finals
from repvit_nas.commands.options import (
    budget_device_option,
    budget_option,
    debug_option,
    foreign_option,
    hours_option,
    refuse_idle,
    searched_space_option,
    storage_options,
)
from repvit_nas.commands.training_options import (
    data_options,
    nproc_option,
    place_options,
    recipe_options,
)
from repvit_nas.errors import RepvitNasError

_MOST: Final = 2**63 - 2
# By the names that the command gives them.
_ONLY_FOR_FINALS: Final = frozenset({"seeds", "winners"})
_NOT_FOR_FINALS: Final = frozenset(
    {
        *("budget_ms", "device", "band", "space", "resolution"),
        *("networks", "hours", "held_out", "init", "seed", "processes", "anyway"),
    }
)


@click.command("measure-accuracy")
@click.option("--name", help="What to call the estimator; the same name goes on.")
@data_options
@budget_option(required=False)
@budget_device_option
@click.option(
    "--band",
    type=float,
    default=0.1,
    show_default=True,
    help="How far below the budget networks may be, as a share of it.",
)
@searched_space_option
@click.option("--networks", type=click.IntRange(min=2), default=24, show_default=True)
@hours_option
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Random networks that no fit sees, trained as well.",
)
@recipe_options("proxy; small with --finals")
@click.option(
    "--init",
    default="donor",
    show_default=True,
    metavar="donor|random|NAME|RUN",
    help="What trainings start from: the first network of the campaign, or another.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="ARCH",
    help="A network that is always trained. [the reference family]",
)
@click.option("--seed", type=click.IntRange(0, _MOST), default=0, show_default=True)
@click.option("--resolution", type=int, metavar="PX", help="Input side. [default: the space's]")
@place_options("--on")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Trainings at a time; the cores are shared out among them.",
)
@nproc_option
@click.option("--out", type=click.Path(), help="Folder of the trainings. [results/accuracy-NAME]")
@click.option("--finals", metavar="RUN", help="Train the winners of a search by a whole recipe.")
@click.option(
    "--seeds", type=click.IntRange(1, 20), default=3, show_default=True, help="Of finals."
)
@click.option("--winners", type=click.IntRange(1, 12), default=4, show_default=True)
@storage_options
@artifacts_options
@click.option("--anyway", is_flag=True, help="Go on with too few validation images to tell much.")
@foreign_option
@answers
@debug_option
def command(
    *,
    name: str | None,
    networks: int,
    hours: float | None,
    finals: str | None,
    processes: int,
    anyway: bool,
    **given: Any,
) -> Answer[Any]:
    r"""Train networks of a latency band shortly, and learn which are accurate on these images.

    Networks are chosen by what they tell of the others, trained by one short recipe from inherited
    weights, and compared on the same images. The same command goes on after Ctrl-C or a crash, and
    several may work at one name at a time. What was learned goes into predictors/accuracy/NAME, and
    `search --accuracy NAME` takes it. --storage shares the trainings with other machines. --finals RUN trains the best networks of a search and the
    nearest references instead, by a whole recipe and with several seeds.

    \b
    Example: repvit-nas measure-accuracy --data photos --budget-ms 1.0 --name photos --hours 4
    """
    if finals:
        refuse_idle("--finals trains the winners of a search", _NOT_FOR_FINALS)
    else:
        refuse_idle("without --finals a campaign is run", _ONLY_FOR_FINALS)
    import torch

    from repvit_nas.campaign.board import CampaignLimits

    if processes > 1 and given["threads"] is None:
        given["threads"] = max(1, (os.cpu_count() or 1) // processes)
    if given["threads"] is not None:
        torch.set_num_threads(given["threads"])
    given["recipe"] = given["recipe"] or ("small" if finals else "proxy")
    if finals:
        return held_finals(Path(finals), name, given)
    if name is None or given["budget_ms"] is None:
        raise RepvitNasError("a campaign needs --name and --budget-ms")
    return ran_campaign(
        name, CampaignLimits(networks, hours), given, processes=processes, anyway=anyway
    )
