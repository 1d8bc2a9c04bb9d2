"""What a campaign writes: what was asked, what is to be trained, and what went wrong."""

from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from repvit_nas import files
from repvit_nas.architecture import Architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.lines import LineLog
from repvit_nas.quantities import Count, Duration, Milliseconds, Seed, Several, Share, Side
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import RANDOM, Precision
from repvit_nas.training.spec import DataSpec

CAMPAIGN_FILE: Final = "campaign.json"
TASKS_FILE: Final = "tasks.jsonl"
# Where a training inherits from the first network of the campaign.
DONOR: Final = "donor"

NetworkRole = Literal["donor", "reference", "chosen", "second seed", "held out", "run", "beside"]


class CampaignAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a campaign is asked; the same name goes on only with the same.

    Attributes:
        data: Which images.
        recipe: How networks are trained, and what that is called.
        recipe_name: See `recipe`.
        space: Name or file of the search space.
        budgets_ms: The most milliseconds on each device.
        band: How far below its budget a network may be, as a share of it.
        resolution: Input side in pixels.
        references: Networks that are always trained; empty for the family, where the space has it.
        init: `donor`, or what every training starts from.
        held_out: Random networks that no fit sees.
        seed: Of everything drawn, and of the trainings.
        precision: In which numbers networks are computed.
    """

    data: DataSpec
    recipe: Recipe
    recipe_name: str
    space: str
    budgets_ms: dict[str, Milliseconds]
    band: Share = 0.1
    resolution: Side | None = None
    references: tuple[Architecture, ...] = ()
    init: str = DONOR
    held_out: Count = 6
    seed: Seed = 0
    precision: Precision = "fp32"


class CampaignFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `campaign.json` (schema 1): all that is fixed before the first training.

    Attributes:
        name: Of the estimator.
        command: The command line that goes on with it.
        asked: What it was asked.
        data_digest: Of the images.
        recipe_digest: Of the recipe's values.
        classes: Names of the classes.
        resolution: Input side in pixels.
        val_images: How many images accuracies are taken on.
        donor: The network that is trained first, and from which others inherit.
        references: Networks that are trained whatever the model says.
        held_out: Networks that no fit sees, drawn before anything was chosen.
        trainings: Folder of the training runs.
    """

    schema: Literal[1] = 1
    name: str
    command: str
    asked: CampaignAsked
    data_digest: str
    recipe_digest: str
    classes: tuple[str, ...]
    resolution: Side
    val_images: Count
    donor: Architecture
    references: tuple[Architecture, ...]
    held_out: tuple[Architecture, ...]
    trainings: str


class TrainingTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="task"):
    """One training that is to be made.

    Attributes:
        name: Of the training and its folder.
        architecture: The network.
        seed: Of the training.
        role: Why it is made.
        inherits: Whether it starts from the donor's weights.
    """

    name: files.FileName
    architecture: Architecture
    seed: Seed
    role: NetworkRole
    inherits: bool


class RunsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the trainings of a list have in common.

    Attributes:
        data: Which images.
        recipe: How networks are trained, and what that is called.
        recipe_name: See `recipe`.
        init: What a run starts from that does not start from random weights.
        precision: In which numbers networks are computed.
    """

    data: DataSpec
    recipe: Recipe
    recipe_name: str
    init: str = RANDOM
    precision: Precision = "fp32"


class RunsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A campaign whose trainings are known before the first: what its study says (schema 1).

    Attributes:
        name: Of the campaign.
        command: The command line that goes on with it.
        asked: What its trainings have in common.
        tasks: The trainings, in order. Those of the role `beside` are reference networks, which lie in the folder of
            the run with their seed and start from their own published weights where that one starts
            from any.
        data_digest: Of the images.
        recipe_digest: Of the recipe's values.
        classes: Names of the classes.
        resolution: Input side in pixels.
        val_images: How many images accuracies are taken on.
        trainings: Folder of the training runs.
        space: The space that the network was searched in, which runs keep.
    """

    schema: Literal[1] = 1
    name: str
    command: str
    asked: RunsAsked
    tasks: tuple[TrainingTask, ...]
    data_digest: str
    recipe_digest: str
    classes: tuple[str, ...]
    resolution: Side
    val_images: Count
    trainings: str
    space: SpaceFile | None = None

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        for task in self.tasks:
            network = task.architecture.name
            if task.role == "beside":
                right = network in family() and task.name == beside_name(task.seed, network)
            else:
                right = task.role == "run"
            if not right:
                raise ValueError(f"task {task.name!r} must be a run, or a reference beside one")


# What a study of trainings is asked.
AnyFile: TypeAlias = CampaignFile | RunsFile


def beside_name(seed: int, network: str) -> str:
    """Return the name of the training of a reference network beside the run with a seed."""
    return f"seed-{seed}-{network}"


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="failure"):
    """A training that cannot be made; it is left out.

    Attributes:
        name: Of the training.
        reason: What was said.
    """

    name: str
    reason: str


class Finished(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="finished"):
    """A training whose observation is in the log.

    Attributes:
        name: Of the training.
        seconds: What it took.
        by: Who made it, where several machines do; empty for this one.
    """

    name: str
    seconds: Duration
    by: str = ""


class Planned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a campaign was found to need next.

    Attributes:
        tasks: The trainings that come next.
        reason: Why there are none, if so.
        networks: How many different networks were to be trained at most.
    """

    tasks: tuple[TrainingTask, ...]
    reason: str
    networks: Several


def task_log(folder: Path) -> LineLog[TrainingTask | Failure | Finished]:
    """Return the log of what a campaign is to train and has trained."""
    return LineLog(folder / TASKS_FILE, TrainingTask | Failure | Finished, "task of a campaign")


def read_campaign(folder: Path) -> CampaignFile:
    """Read what a campaign was asked.

    Raises:
        RepvitNasError: There is none in the folder.
    """
    path = folder / CAMPAIGN_FILE
    if not path.is_file():
        raise RepvitNasError(f"{folder}: holds no campaign; repvit-nas measure-accuracy makes one")
    return files.read_json(path, CampaignFile)
