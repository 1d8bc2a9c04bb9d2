"""A campaign begun or gone on with: its files, its images, its band, and what may not change."""

import contextlib
import functools
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.accuracy import trained
from repvit_nas.accuracy.observations import RANDOM, Circumstances, ObservationLog
from repvit_nas.campaign.band import Band
from repvit_nas.campaign.images import check_images, data_digest
from repvit_nas.campaign.planning import (
    CampaignState,
    held_out_of,
    pool_of,
    references_of,
    state_of,
)
from repvit_nas.campaign.records import (
    CAMPAIGN_FILE,
    DONOR,
    AnyFile,
    CampaignAsked,
    CampaignFile,
    Finished,
    TrainingTask,
    read_campaign,
    task_log,
)
from repvit_nas.campaign.training import Result, Workplace, losses_name
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import refuse_links
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import Choices, Space, load_space
from repvit_nas.training.data import Opened, open_data
from repvit_nas.training.found import found_text
from repvit_nas.training.kept import kept
from repvit_nas.training.records import differences
from repvit_nas.training.tasks import require_teacher
from repvit_nas.words import Say


class Campaign:
    """A campaign that is open: its files, its images, its band.

    Args:
        folder: Of the estimator.
        file: What it was asked.
        opened: Its images.
        predictors: Of its devices.
        space: Of its networks.
    """

    def __init__(
        self,
        folder: Path,
        file: CampaignFile,
        opened: Opened,
        predictors: Sequence[Predictor],
        space: Space,
    ) -> None:
        self.folder = folder
        self.file = file
        self.predictors = predictors
        self.band = _band(space, predictors, file.asked, file.resolution, len(file.classes))
        self.workplace = Workplace(file, file.asked.data, opened, Path(file.trainings))
        self.observations = ObservationLog(folder)
        self.tasks = task_log(folder)

    @functools.cached_property
    def pool(self) -> Choices:
        """The random networks of the band that it looks at, `(n, parameters)`."""
        return pool_of(self.band, self.file.asked.seed)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep the other processes of the campaign from writing meanwhile."""
        return trained.locked(self.folder)

    def state(self) -> CampaignState:
        """Read how far the campaign is."""
        return state_of(self.tasks.read(), self.observations.read())

    def keep(self, task: TrainingTask, result: Result) -> None:
        """Log what a training says; to be called under the lock."""
        files.write_bytes(self.folder / losses_name(task), result.losses)
        self.observations.append([result.observation])
        self.tasks.append(Finished(task.name, result.seconds, result.by))


def trainings_of(name: str) -> Path:
    """Return where the training runs of a campaign go where nobody says."""
    return Path("results") / f"accuracy-{name}"


def open_campaign(
    name: str,
    asked: CampaignAsked,
    *,
    command: str = "",
    trainings: Path | None = None,
    foreign: bool = False,
    anyway: bool = False,
    agree: Callable[[CampaignFile], object] = lambda _: None,
    say: Say = lambda _: None,
) -> Campaign:
    """Begin a campaign, or go on with the one of this name.

    Args:
        name: Of the estimator.
        asked: What to find out.
        command: The command line that goes on with it.
        trainings: Where the training runs go; see :func:`trainings_of` where nobody says.
        foreign: Accept a processor's table that was measured on another machine.
        anyway: Go on with too few validation images to tell much.
        agree: Asked whether what was asked is what other workers were asked.
        say: Told what the user should know.

    Raises:
        RepvitNasError: The images, the recipe or the band are not as the campaign of this name had
            them, tell nothing, or are known by another name; or there is no teacher to begin with.
    """
    folder = trained.folder_of(name)
    space, _ = load_space(asked.space)
    resolution = asked.resolution or space.file.resolution.default
    space.check_resolution(resolution)
    predictors = [load_predictor(device, foreign=foreign)[0] for device in asked.budgets_ms]
    opened = open_data(asked.data, resolution)
    say(check_images(opened, anyway=anyway))
    digests = data_digest(asked.data, opened), files.digest(msgspec.json.encode(asked.recipe))
    circumstances = Circumstances(
        data=asked.data.name,
        data_digest=digests[0],
        recipe=asked.recipe_name,
        recipe_digest=digests[1],
    )
    trained.refuse_second_name(name, circumstances)
    runs = trainings or trainings_of(name)
    refuse_links(runs, "choose another folder with --out")
    with trained.locked(folder):
        if (folder / CAMPAIGN_FILE).is_file():
            file = read_campaign(folder)
            _refuse_others(folder, file, asked, digests, runs)
            agree(file)
        else:
            _refuse_imported(folder, circumstances)
            require_teacher(asked.recipe, len(opened.classes))
            band = _band(space, predictors, asked, resolution, len(opened.classes))
            file = _planned(name, asked, band, opened, digests, runs=runs, command=command)
            agree(file)
            files.write_json(folder / CAMPAIGN_FILE, file)
    return Campaign(folder, file, kept(opened), predictors, space)


def open_workplace(
    file: AnyFile,
    *,
    name: str,
    root: str,
    trainings: Path,
    device: str,
    say: Say = lambda _: None,
) -> Workplace:
    """Prepare to train networks of a campaign that was begun elsewhere.

    Args:
        file: What it was asked, as the study says.
        name: Its images, as this machine calls them.
        root: Where timm keeps a data set that it knows by name.
        trainings: Where the training runs go.
        device: The kind of device that networks are trained on here.
        say: Told what was found.

    Raises:
        RepvitNasError: The images are not here, or others; or networks cannot be trained here as asked.
    """
    asked = file.asked
    if asked.precision != "fp32" and device == "cpu":
        raise RepvitNasError(
            f"the campaign {file.name!r} trains in {asked.precision}, for which this machine has no GPU: "
            "help it from one that has"
        )
    if asked.init not in {DONOR, RANDOM, *family()} and not Path(asked.init).exists():
        raise RepvitNasError(
            f"the campaign {file.name!r} starts from {asked.init}, which is not here; bring it"
        )
    spec = msgspec.structs.replace(asked.data, name=name, root=root, download=False)
    try:
        opened = open_data(spec, file.resolution)
    except RepvitNasError as error:
        raise RepvitNasError(
            f"{name}: cannot be the images of the campaign {file.name!r}, which calls them "
            f"{asked.data.name}: {error}"
        ) from error
    for found in opened.found:
        for line in found_text(found):
            say(line)
    digest = data_digest(spec, opened)
    if digest != file.data_digest or tuple(opened.classes) != file.classes:
        raise RepvitNasError(
            f"{name}: is of other images than the campaign {file.name!r} ({digest}, that one's are "
            f"{file.data_digest}): give it the same images"
        )
    return Workplace(file, spec, kept(opened), trainings)


def _band(
    space: Space,
    predictors: Sequence[Predictor],
    asked: CampaignAsked,
    resolution: int,
    classes: int,
) -> Band:
    return Band(
        space,
        predictors,
        asked.budgets_ms,
        asked.band,
        resolution=resolution,
        num_classes=classes,
    )


def _refuse_others(
    folder: Path, file: CampaignFile, asked: CampaignAsked, digests: tuple[str, str], runs: Path
) -> None:
    apart = differences(file.asked, asked)
    if apart:
        raise RepvitNasError(
            f"{folder}: was begun with other arguments: {'; '.join(apart[:3])}; give the same ones, "
            "or another --name"
        )
    if file.data_digest != digests[0]:
        raise RepvitNasError(
            f"{folder}: the images of {asked.data.name} are not those it was begun with "
            f"({file.data_digest} -> {digests[0]}); bring them back, or give another --name"
        )
    if Path(file.trainings) != runs:  # a folder that only a file names is nobody's wish
        raise RepvitNasError(
            f"{folder}: was begun with its trainings in {file.trainings}: give --out "
            f"{shlex.quote(file.trainings)}, or another --name"
        )


def _refuse_imported(folder: Path, circumstances: Circumstances) -> None:
    """Refuse to begin a campaign beside observations of something else."""
    for observation in ObservationLog(folder).read()[:1]:
        apart = observation.circumstances.differences(circumstances)
        if apart:
            raise RepvitNasError(
                f"{folder}: holds observations of other circumstances: {'; '.join(apart)}; they "
                "cannot be compared: give another --name"
            )


def _planned(
    name: str,
    asked: CampaignAsked,
    band: Band,
    opened: Opened,
    digests: tuple[str, str],
    *,
    runs: Path,
    command: str,
) -> CampaignFile:
    """Fix everything that is fixed before the first training."""
    references = references_of(band, asked.references)
    held_out = held_out_of(band, asked.held_out, asked.seed, references)
    if references:
        donor = references[0]
    else:  # the band's own, where no reference lies in the space
        drawn = band.draw(1, np.random.default_rng(asked.seed))
        donor = band.shapes(drawn.choices).architecture(0, "donor")
    return CampaignFile(
        name=name,
        command=command,
        asked=asked,
        data_digest=digests[0],
        recipe_digest=digests[1],
        classes=opened.classes,
        resolution=band.resolution,
        val_images=len(opened.val),
        donor=donor,
        references=tuple(references),
        held_out=held_out,
        trainings=str(runs),
    )
