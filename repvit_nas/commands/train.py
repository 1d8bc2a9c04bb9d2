"""`repvit-nas train`: train a network."""

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.architecture import RESOLUTIONS, SAM, SAM_STEP
from repvit_nas.commands.completion import complete_recipe
from repvit_nas.commands.options import (
    AUTO,
    ResumingCommand,
    architecture_argument,
    debug_option,
    echo_json,
    json_option,
    note,
    output_option,
    progress_bar,
    split_resume,
    tell,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.architecture import Architecture, OutputKind
    from repvit_nas.training.recipe import Recipe
    from repvit_nas.training.records import Matching

# What says that there is no teacher, or that its maps are not kept.
NO_TEACHER: Final = "none"
# Options that are values of the recipe under their own name.
_RECIPE: Final = ("epochs", "batch", "accumulate", "lr")
_MOST: Final = 2**63 - 1


@click.command("train", cls=ResumingCommand)
@architecture_argument
@click.option(
    "--data",
    required=True,
    metavar="digits|shapes|FOLDER|NAME",
    help="The images: in the box, a folder with train/ and val/, or timm's hfds/, wds/, torch/.",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="How to train. [quick; finetune with --init; match with --task match]",
    shell_complete=complete_recipe,
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change the recipe: lr=0.002, scale=0.8,1.0.",
)
@click.option("--epochs", type=int, help="Passes over the images.")
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
    "--resolution",
    type=click.IntRange(*RESOLUTIONS),
    metavar="PX",
    help="Input side. [the images' own]",
)
@click.option("--data-root", default="", help="Where timm keeps a data set it knows by name.")
@click.option("--train-split", default="train", help="Its split, or the folder, to train on.")
@click.option("--val-split", default="validation", help="Its split, or the folder, to validate on.")
@click.option(
    "--num-classes", type=click.IntRange(min=2), help="Its classes, where it does not say."
)
@click.option("--download", is_flag=True, help="Let timm download it.")
@click.option(
    "--train-images", type=click.IntRange(min=1), help="How many images of shapes to train on."
)
@click.option(
    "--val-images", type=click.IntRange(min=1), help="How many images of shapes to validate on."
)
@click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read.")
@click.option("--device", default="auto", metavar="auto|cpu|cuda|mps", help="Where to train.")
@click.option("--amp", default="auto", metavar="auto|bf16|fp16|off", help="Half precision.")
@click.option("--channels-last/--no-channels-last", default=None, help="Memory layout.")
@click.option("--compile", "compiled", is_flag=True, help="Let torch compile the network.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.")
@click.option(
    "--save-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="UPDATES",
    help="More checkpoints.",
)
@click.option("--tensorboard", is_flag=True, help="Log for TensorBoard as well.")
@json_option
@debug_option
def command(arch: str, *, resume: str | None, as_json: bool, **given: Any) -> None:
    r"""Train ARCH, and leave weights, log and curves in a folder that export and check take.

    With --task match it learns the map that --teacher makes of the pictures of a folder, such as that of
    SAM's encoder; what is padded does not count.

    Under several processes: torchrun --nproc-per-node 8 -m repvit_nas train ... with the same
    arguments. A run that was interrupted goes on with --resume, to the same weights; --resume auto
    is for lines that are started again and again (preemption, torchrun --max-restarts).

    \b
    Example: repvit-nas train repvit_m0_6 --data digits --epochs 5
    """
    import torch

    from repvit_nas.named import load_architecture, shaped, space_of
    from repvit_nas.report.training import curves_picture
    from repvit_nas.training.data import open_data
    from repvit_nas.training.pictures import open_pictures
    from repvit_nas.training.records import Asked
    from repvit_nas.training.run import (
        Place,
        asked_network,
        default_folder,
        find_precision,
        train,
        world_size,
    )
    from repvit_nas.training.spec import DataSpec

    if given["threads"] is not None:
        torch.set_num_threads(given["threads"])
    recipe, name = _recipe(given)
    architecture = load_architecture(arch)
    space = space_of(arch)
    data = DataSpec(
        name=given["data"],
        root=given["data_root"],
        train_split=given["train_split"],
        val_split=given["val_split"],
        num_classes=given["num_classes"],
        train_images=given["train_images"],
        val_images=given["val_images"],
        skip_bad_images=given["skip_bad_images"],
        download=given["download"],
    )
    matching = _matching(given) if given["task"] == "match" else None
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
    folder = Path(given["out"] or Path("results") / default_folder(asked, name))
    words = [word for word in split_resume(sys.argv[1:])[0] if word not in {"--json", "--debug"}]
    first = int(os.environ.get("RANK", "0")) == 0  # the first process speaks for all
    with progress_bar() if first else contextlib.nullcontext(_silent) as progress:
        record = train(
            asked,
            folder,
            Place(
                given["device"],
                given["workers"],
                given["channels_last"],
                given["compiled"],
                given["save_every"],
                given["tensorboard"],
                "" if given["cache"] in (None, NO_TEACHER) else given["cache"],
            ),
            opened=opened,
            command=shlex.join([*_program(asked.processes), *words]),
            space=None if space is None else space.file,
            resume="auto" if resume == AUTO else resume is not None,
            say=note,
            progress=progress,
            picture=curves_picture,
        )
    outcome, near = record.outcome, record.matched
    if not first:
        return
    if near is not None:
        if as_json:
            echo_json(record)
            return
        tell(
            f"{asked.architecture.name or arch} on {data.name}: squared error {near.mse:.4g}, cosine "
            f"{near.cosine:.4f} on {near.val_images:,} pictures after "
            f"{number_of(recipe.epochs, 'epoch')}, in {folder}"
        )
        return
    if outcome is None:
        raise RepvitNasError(f"{folder}: the training was not finished")
    if as_json:
        echo_json(record)
        return
    tell(
        f"{asked.architecture.name or arch} on {data.name}: top-1 {outcome.top1:.2f} % of "
        f"{outcome.val_images:,} images after {number_of(recipe.epochs, 'epoch')}, in {folder}"
    )


def _recipe(given: Mapping[str, Any]) -> "tuple[Recipe, str]":
    """Return how the network learns, and the recipe's name."""
    from repvit_nas.training.recipe import NONE, load_recipe, parse_changes
    from repvit_nas.training.records import RANDOM

    matched = given["task"] == "match"
    _refuse_idle(given)
    fields = _RECIPE if matched else (*_RECIPE, "teacher")
    changes = {name: given[name] for name in fields if given[name] is not None}
    more = parse_changes(given["changes"])
    twice = sorted(changes.keys() & more.keys())
    if twice:
        raise RepvitNasError(f"{twice[0]} is given twice, the second time by --set; give it once")
    if "teacher" in changes:
        changes["distillation"] = NONE if given["teacher"] == NONE else "hard"
    changes |= more
    usual = "quick" if given["init"] == RANDOM else "finetune"
    name = given["recipe"] or ("match" if matched else usual)
    return load_recipe(name, changes), name


def _refuse_idle(given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing for the task."""
    if given["task"] == "match":
        if given["teacher"] in (None, NO_TEACHER):
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
        kept=given["cache"] != NO_TEACHER,
    )


def _encoder(architecture: "Architecture", given: Mapping[str, Any]) -> "OutputKind":
    """Return what the network hands back that learns a map: by default RepViT-SAM's."""
    output: OutputKind = given["output"] or architecture.output
    return output if output in SAM_STEP or given["output"] else SAM


def _program(processes: int) -> list[str]:
    """Return what stands before the arguments on the command line that repeats a run."""
    if processes == 1:
        return ["repvit-nas"]
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    machines = [f"--nnodes={processes // local}"] if local < processes else []
    return ["torchrun", *machines, f"--nproc-per-node={local}", "-m", "repvit_nas"]


def _silent(_: str, __: int, ___: int) -> None:
    """Show no progress."""
