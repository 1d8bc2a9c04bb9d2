"""`repvit-nas train`: train a network."""

import contextlib
import os
import shlex
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.architecture import RESOLUTIONS, SAM, SAM_STEP, Architecture
from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import own_words
from repvit_nas.commands.artifacts import artifacts_options
from repvit_nas.commands.console import note, progress_bar, tell
from repvit_nas.commands.options import (
    architecture_argument,
    debug_option,
    family_option,
    output_option,
    storage_options,
)
from repvit_nas.commands.resuming import AUTO, ResumingCommand, split_resume
from repvit_nas.commands.several import ToTrain, is_several, trained_several
from repvit_nas.commands.training_options import (
    asked_data,
    asked_recipe,
    data_options,
    nproc_option,
    place_options,
    recipe_options,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.recipe import NONE
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.architecture import OutputKind
    from repvit_nas.training.records import Matching, TrainFile
    from repvit_nas.units import Network

# Options that are values of the recipe under their own name.
_RECIPE: Final = ("batch", "accumulate", "lr")
# And values of the data.
_DATA: Final = ("train_split", "val_split", "num_classes", "download")
_MOST: Final = 2**63 - 1


@click.command("train", cls=ResumingCommand)
@architecture_argument
@data_options
@click.option("--train-split", default="train", help="Split or folder to train on.")
@click.option("--val-split", default="validation", help="Split or folder to validate on.")
@click.option(
    "--num-classes",
    type=click.IntRange(min=2),
    help="Classes of the data set, where it does not say.",
)
@click.option("--download", is_flag=True, help="Let timm download the data set.")
@recipe_options("quick; finetune with --init; match with --task match")
@click.option("--batch", type=int, help="Images in one step of one process.")
@click.option("--accumulate", type=int, help="Steps added up to one update.")
@click.option("--lr", type=float, help="Learning rate at 512 images in an update.")
@click.option(
    "--teacher",
    metavar="NAME|RUN|FILE|none",
    help="timm's name of a teacher, or a run; of a map, an ONNX or TorchScript file too.",
)
@click.option(
    "--task",
    type=click.Choice(["classify", "match"]),
    default="classify",
    show_default=True,
    help="Learn the classes of the images, or the map that the teacher makes of them.",
)
@click.option(
    "--cosine",
    type=click.FloatRange(min=0),
    metavar="WEIGHT",
    help="To match: count one less the cosine similarity as well. [0]",
)
@click.option(
    "--cache",
    metavar="DIR|none",
    help="To match: where the teacher's maps are kept. [the run's folder, until it ends]",
)
@output_option
@click.option("--init", default="random", metavar="NAME|RUN|FILE", help="What to start from.")
@click.option("--out", type=click.Path(), help="Folder of the run. [results/...]")
@click.option(
    "--resume",
    type=click.Choice(["yes", AUTO]),
    metavar="[auto]",
    help="Go on with the run in --out; auto: or start it where there is none.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, _MOST),
    default=0,
    show_default=True,
    help="Same seed, same weights.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Train with so many seeds, from --seed on, each in a folder of its own in --out.",
)
@family_option("Train these reference networks as well, beside each seed, as check does.")
@nproc_option
@storage_options
@click.option("--name", help="What the campaign is called in --storage.")
@artifacts_options
@click.option(
    "--resolution",
    type=click.IntRange(*RESOLUTIONS),
    metavar="PX",
    help="Input side. [the images' own]",
)
@place_options("--device")
@click.option("--channels-last/--no-channels-last", default=None, help="Memory layout.")
@click.option("--compile", "compiled", is_flag=True, help="Let torch compile the network.")
@click.option(
    "--save-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="UPDATES",
    help="More checkpoints.",
)
@click.option("--tensorboard", is_flag=True, help="Log for TensorBoard as well.")
@answers
@debug_option
def command(
    arch: str, *, resume: str | None, **given: Any
) -> Answer["TrainFile"] | Iterable[Answer[Any]]:
    r"""Train ARCH, and leave weights, log and curves in a folder that export and check take.

    With --task match it learns the map that --teacher makes of the pictures of a folder, such as that of
    SAM's encoder; what is padded does not count.

    Under several processes: torchrun --nproc-per-node 8 -m repvit_nas train ... with the same
    arguments. A run that was interrupted goes on with --resume, to the same weights; --resume auto
    is for lines that are started again and again (preemption, torchrun --max-restarts).

    --seeds and --train-family make several trainings, which check puts together; --storage shares them
    with other machines, where the same line or `work` is started.

    \b
    Example: repvit-nas train repvit_m0_6 --data digits --epochs 5
    """
    import torch

    from repvit_nas.named import load_network, shaped, space_of
    from repvit_nas.report.training import curves_picture
    from repvit_nas.training.data import open_data
    from repvit_nas.training.pictures import open_pictures
    from repvit_nas.training.place import Place, find_precision, world_size
    from repvit_nas.training.records import RANDOM, Asked
    from repvit_nas.training.run import asked_network, default_folder, train

    if given["threads"] is not None:
        torch.set_num_threads(given["threads"])
    _refuse_idle(given)
    matching = _matching(given) if given["task"] == "match" else None
    usual = "quick" if given["init"] == RANDOM else "finetune"
    name = given["recipe"] or (usual if matching is None else "match")
    recipe = asked_recipe(name, given, *_RECIPE, *(("teacher",) if matching is None else ()))
    architecture = load_network(arch)
    space = space_of(arch)
    data = asked_data(given, **{field: given[field] for field in _DATA})
    if matching is None:
        opened = open_data(data, given["resolution"])
        network = asked_network(architecture, opened, given["resolution"])
    else:
        network = shaped(architecture, _encoder(architecture, given), given["resolution"])
        opened = open_pictures(data, network.resolution)
    asked = Asked(
        architecture=network,
        recipe=recipe,
        data=data,
        seed=given["seed"],
        init=given["init"],
        precision=find_precision(given["amp"], given["device"]),
        processes=world_size(),
        matching=matching,
    )
    place = Place(
        given["device"],
        given["workers"],
        given["channels_last"],
        given["compiled"],
        given["save_every"],
        given["tensorboard"],
        "" if given["cache"] in (None, NONE) else given["cache"],
    )
    kept_space = None if space is None else space.file
    if is_several(given):
        if given["seed"] + given["seeds"] > _MOST:
            raise RepvitNasError(
                f"--seed {given['seed']} leaves no {given['seeds']} seeds from there on"
            )
        to_train = ToTrain(asked, name, opened, place, kept_space)
        return trained_several(to_train, given, resume=resume is not None)
    if given["nproc"] > 1:
        raise RepvitNasError(
            "--nproc is for several trainings (--seeds, --train-family, --storage); of one network: torchrun "
            f"--nproc-per-node {given['nproc']} -m repvit_nas train ..."
        )
    folder = Path(given["out"] or Path("results") / default_folder(asked, name))
    words, _ = split_resume(own_words())
    first = int(os.environ.get("RANK", "0")) == 0  # the first process speaks for all
    with progress_bar() if first else contextlib.nullcontext(_silent) as progress:
        record = train(
            asked,
            folder,
            place,
            opened=opened,
            command=shlex.join([*_program(asked.processes), *words]),
            space=kept_space,
            resume="auto" if resume == AUTO else resume is not None,
            say=note,
            progress=progress,
            picture=curves_picture,
        )
    if not first:
        return ()
    if record.ended is None:
        raise RepvitNasError(f"{folder}: the training was not finished")
    return Answer(record, partial(_show, asked.architecture.name or arch, folder))


def _show(name: str, folder: Path, record: "TrainFile") -> None:
    epochs, said = number_of(record.asked.recipe.epochs, "epoch"), ""
    if record.outcome is not None:
        images = record.outcome.val_images
        said = f"top-1 {record.outcome.top1:.2f} % of {images:,} images"
    elif record.matched is not None:
        near = record.matched
        said = f"squared error {near.mse:.4g}, cosine {near.cosine:.4f} on {near.val_images:,} pictures"
    tell(f"{name} on {record.asked.data.name}: {said} after {epochs}, in {folder}")


def _refuse_idle(given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing for the task."""
    if given["task"] == "match":
        if given["teacher"] in (None, NONE):
            raise RepvitNasError(
                "--task match needs --teacher: an ONNX or TorchScript file, a run, or a model of timm"
            )
        return
    for name in ("cosine", "cache", "output"):
        if given[name] is not None:
            raise RepvitNasError(f"--{name} is for --task match; leave it out")


def _matching(given: Mapping[str, Any]) -> "Matching":
    from repvit_nas.training.records import Matching
    from repvit_nas.training.teacher import teacher_digest

    return Matching(
        teacher=given["teacher"],
        digest=teacher_digest(given["teacher"]),
        cosine=given["cosine"] or 0.0,
        kept=given["cache"] != NONE,
    )


def _encoder(architecture: "Network", given: Mapping[str, Any]) -> "OutputKind":
    """Return what the network hands back that learns a map: by default RepViT-SAM's."""
    if given["output"] is not None:
        output: OutputKind = given["output"]
        return output
    own = architecture.output if isinstance(architecture, Architecture) else SAM
    return own if own in SAM_STEP else SAM


def _program(processes: int) -> list[str]:
    """Return what stands before the arguments on the command line that repeats a run."""
    if processes == 1:
        return ["repvit-nas"]
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    machines = [f"--nnodes={processes // local}"] if local < processes else []
    return ["torchrun", *machines, f"--nproc-per-node={local}", "-m", "repvit_nas"]


def _silent(_: str, __: int, ___: int) -> None:
    """Show no progress."""
