"""One training run, from what is asked to the folder that it leaves."""

import contextlib
import copy
import io
import platform
import shutil
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import LOCK_FILES, Resume, held
from repvit_nas.machine import machine
from repvit_nas.networks import adapted, write_network
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.training.checkpoint import Checkpoints, load_strictly, read_tensors
from repvit_nas.training.data import Opened, open_data
from repvit_nas.training.evaluation import How, evaluate
from repvit_nas.training.found import found_text
from repvit_nas.training.loading import World, train_batches, val_batches
from repvit_nas.training.log import BEST_FILES, Picture, RunLog, best_file
from repvit_nas.training.matching import match_trainer
from repvit_nas.training.pictures import open_pictures
from repvit_nas.training.place import Place, processes, reading_workers
from repvit_nas.training.publish import CONFIG_FILE, write_card, write_timm_folder
from repvit_nas.training.records import (
    ARCHITECTURE_FILE,
    FAMILY_FOLDER,
    LOSSES_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    Asked,
    MatchOutcome,
    TrainFile,
    TrainOutcome,
    WrittenFile,
    differences,
    file_digest,
    is_training_run,
    read_training,
)
from repvit_nas.training.start import started_network
from repvit_nas.training.tasks import new_network
from repvit_nas.training.trainer import Trainer
from repvit_nas.units import Network
from repvit_nas.version import __version__
from repvit_nas.words import Progress, Say

# Where a teacher's maps are kept while a run needs them.
MAPS_FOLDER: Final = "maps"


def open_asked(asked: Asked) -> Opened:
    """Open the images that a run is asked to learn from.

    Raises:
        RepvitNasError: They cannot be used.
    """
    side = asked.architecture.resolution
    return (
        open_data(asked.data, side) if asked.matching is None else open_pictures(asked.data, side)
    )


def asked_network(architecture: Network, opened: Opened, resolution: int | None) -> Network:
    """Return the network as it is trained: with the classes of its images, at their resolution."""
    return adapted(
        architecture,
        num_classes=len(opened.classes),
        resolution=resolution or opened.resolution or architecture.resolution,
    )


def default_folder(asked: Asked, recipe_name: str) -> str:
    """Return the name of a run's folder, such as `train-repvit_m1_0-digits`."""
    name = asked.architecture.name or "network"
    data = Path(asked.data.name.rstrip("/")).name or "images"
    parts = ["train", name, data]
    if recipe_name != "quick":
        parts.append(Path(recipe_name).name.removesuffix(".toml"))
    if asked.seed:
        parts.append(f"seed-{asked.seed}")
    return "-".join("".join(c if c.isalnum() or c in "._-" else "-" for c in p) for p in parts)


def train(
    asked: Asked,
    folder: str | Path,
    place: Place | None = None,
    *,
    opened: Opened | None = None,
    command: str = "",
    space: SpaceFile | None = None,
    resume: Resume = False,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
    picture: Picture | None = None,
) -> TrainFile:
    """Train a network and leave it in `folder`.

    Under torchrun every process calls this with the same arguments; the first one writes.

    Args:
        asked: The network, the recipe, the images, the seed.
        folder: Where the run is kept.
        place: On what it is computed.
        opened: The images, where they are open already.
        command: The command line that repeats the run.
        space: The space that the network was searched in, to be kept.
        resume: Go on with the run in the folder; `auto` starts one where there is none.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.
        picture: Draws the log.

    Returns:
        The record of the finished run.

    Raises:
        RepvitNasError: The folder holds another run, the images, the teacher or the weights cannot
            be used, or the loss is no number any more.
        FileError: Something cannot be read or written.
    """
    folder, place = Path(folder), place or Place()
    with processes(place.device) as (device, world), _alone(folder, world):
        say = say if world.rank == 0 else lambda _: None
        before = _before(folder, asked, world, resume=resume)
        if before is not None and before.ended is not None:
            say(f"{folder}: was finished before")
            return before
        images = opened or open_asked(asked)
        for found in images.found:
            for line in found_text(found):
                say(line)
        if asked.architecture.num_classes != len(images.classes):  # of a map there are none
            raise RepvitNasError(
                f"the network has {asked.architecture.num_classes} classes, the images have "
                f"{len(images.classes)}; training.run.asked_network gives it those of the images"
            )
        record = new_record(asked, images, command=command, space=space)
        trainer = _trainer(asked, folder, place, images, device=device, world=world, say=say)
        if world.rank == 0:  # what cannot be trained leaves nothing behind
            files.write_json(folder / TRAINING_FILE, record)
        loaded = trainer.checkpoints.load(say)
        if loaded is not None:
            trainer.restore(loaded)
            say(f"going on after update {trainer.updates:,} of epoch {trainer.epoch + 1}")
        drawn = picture if asked.matching is None else None
        logs = RunLog(folder, drawn, place, world, kept=trainer.best_epoch, say=say)
        trainer.fit(logs.epoch_done, progress)
        return _finish(folder, record, trainer, images, place)


def new_record(asked: Asked, images: Opened, *, command: str, space: SpaceFile | None) -> TrainFile:
    """Return the record of a run that begins."""
    return TrainFile(
        command=command,
        asked=asked,
        classes=images.classes,
        images=images.found,
        versions=_versions(),
        machine=machine(),
        space=space,
    )


def _alone(folder: Path, world: World) -> contextlib.AbstractContextManager[None]:
    """Keep the folder for one run, which its first process holds for all."""
    return contextlib.nullcontext() if world.rank else held(folder)


def _before(folder: Path, asked: Asked, world: World, *, resume: Resume) -> TrainFile | None:
    """Return the run in the folder, the same in every process; the first one checks it."""
    if world.rank == 0:
        return check_folder(folder, asked, resume=resume)
    # Nothing is written before all processes have trained together.
    return read_training(folder) if resume and is_training_run(folder) else None


def check_folder(folder: Path, asked: Asked, *, resume: Resume) -> TrainFile | None:
    """Return the run in a folder that another one goes on with, if there is one.

    Args:
        folder: The folder, which is there.
        asked: What the other is asked.
        resume: As for :func:`train`.

    Raises:
        RepvitNasError: It holds another run, or other files.
    """
    if not is_training_run(folder):
        known = (*LOCK_FILES, FAMILY_FOLDER)  # which another machine may have trained before
        others = [path.name for path in folder.iterdir() if path.name not in known]
        if others:
            raise RepvitNasError(
                f"{folder}: holds other files ({others[0]}); choose another folder with --out"
            )
        if resume is True:
            raise RepvitNasError(
                f"{folder}: there is no training run to go on with; --resume auto starts one"
            )
        return None
    before = read_training(folder)
    if before.ended is None and Checkpoints(folder).last() is None:
        return None  # nothing was trained yet: what is asked now counts
    if not resume:
        raise RepvitNasError(
            f"{folder}: holds a training run already; go on with it with --resume (--resume auto "
            "starts or goes on), or choose another folder with --out"
        )
    apart = differences(before.asked, asked)
    if apart:
        more = f" and {len(apart) - 3} more" if len(apart) > 3 else ""
        raise RepvitNasError(
            f"{folder}: was started with other arguments: {'; '.join(apart[:3])}{more}; give the "
            "same ones, or choose another folder with --out"
        )
    return before


def _trainer(
    asked: Asked,
    folder: Path,
    place: Place,
    images: Opened,
    *,
    device: torch.device,
    world: World,
    say: Say,
) -> Trainer:
    checkpoints, how = Checkpoints(folder), _how(asked, place, device, world)
    workers = reading_workers(place.workers, device, world)
    if asked.matching is not None:
        return match_trainer(
            asked,
            asked.matching,
            images,
            Path(place.cache) if place.cache else folder / MAPS_FOLDER,
            workers=workers,
            how=how,
            checkpoints=checkpoints,
            say=say,
        )
    resolution = asked.architecture.resolution
    batches = train_batches(
        images.train,
        asked.recipe,
        resolution,
        seed=asked.seed,
        world=world,
        device=device,
        workers=workers,
        flip=images.flip,
    )
    val = val_batches(
        images.val, asked.recipe, resolution, world=world, device=device, workers=workers
    )
    model = started_network(asked, images.train, checkpoints, flip=images.flip, say=say)
    return Trainer(model, asked.recipe, batches, val, how=how, checkpoints=checkpoints)


def _how(asked: Asked, place: Place, device: torch.device, world: World) -> How:
    channels_last = device.type != "mps" if place.channels_last is None else place.channels_last
    return How(
        device, asked.precision, world, channels_last, place.compiled, max(0, place.save_every)
    )


def _versions() -> dict[str, str]:
    import timm

    return {
        "repvit_nas": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
    }


def _losses(
    trainer: Trainer, final: torch.nn.Module, asked: Asked, images: Opened, place: Place
) -> torch.Tensor:
    """Return the cross-entropy of the network on each validation image, `(images,)`."""
    how, val = trainer.how._replace(world=World()), trainer.val
    if trainer.how.world.processes > 1:  # each has seen its share
        val = val_batches(
            images.val,
            asked.recipe,
            asked.architecture.resolution,
            world=how.world,
            device=how.device,
            workers=reading_workers(place.workers, how.device, trainer.how.world),
        )
    elif trainer.losses is not None:
        return trainer.losses
    layout = torch.channels_last if trainer.how.channels_last else torch.contiguous_format
    # A run that was interrupted behind its best epoch.
    on_device = copy.deepcopy(final).to(device=trainer.how.device, memory_format=layout)  # type: ignore[call-overload]
    return evaluate(on_device, val, trainer.task, how).losses


def losses_npy(losses: torch.Tensor) -> bytes:
    """Return cross-entropies as an array file of single precision."""
    content = io.BytesIO()
    np.save(content, losses.numpy().astype(np.float32), allow_pickle=False)
    return content.getvalue()


def _finish(
    folder: Path, record: TrainFile, trainer: Trainer, images: Opened, place: Place
) -> TrainFile:
    """Write the network and the record, and remove what is only needed to go on."""
    if trainer.best is None:
        raise RepvitNasError(f"{folder}: no epoch was trained")
    ended = trainer.outcome(len(images.val))
    if trainer.how.world.rank:
        return _with(record, ended)
    asked = record.asked
    final = new_network(asked.architecture, asked.recipe, asked.seed)
    if asked.recipe.keep == "best":
        best = best_file(folder, trainer.best_epoch)
        WrittenFile.of(best, trainer.best_digest).check()
        load_strictly(final, read_tensors(best), str(best))
    else:
        final.load_state_dict(trainer.chosen().state_dict())
    if asked.matching is None:
        losses = losses_npy(_losses(trainer, final, asked, images, place))
        files.write_bytes(folder / LOSSES_FILE, losses)
    write_network(folder / ARCHITECTURE_FILE, asked.architecture)
    write_timm_folder(folder, final.eval(), asked.recipe, record.classes)
    ended = msgspec.structs.replace(
        ended,
        weights_digest=file_digest(folder / WEIGHTS_FILE),
        config_digest=file_digest(folder / CONFIG_FILE),
    )
    record = _with(record, ended)
    write_card(folder, record)
    files.write_json(folder / TRAINING_FILE, record)
    for path in folder.glob(BEST_FILES):
        path.unlink()
    shutil.rmtree(trainer.checkpoints.folder, ignore_errors=True)
    shutil.rmtree(folder / MAPS_FOLDER, ignore_errors=True)
    return record


def _with(record: TrainFile, ended: TrainOutcome | MatchOutcome) -> TrainFile:
    if isinstance(ended, TrainOutcome):
        return msgspec.structs.replace(record, outcome=ended)
    return msgspec.structs.replace(record, matched=ended)
