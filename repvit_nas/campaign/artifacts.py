"""What workers of a campaign keep beside its study: logs, final weights, and checkpoints if wished.

Nothing of it decides what a training says: where a store is full or out of reach, a worker says so and
goes on, and what cannot be brought is trained again.
"""

import contextlib
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from repvit_nas import files
from repvit_nas.artifacts import in_a_line
from repvit_nas.campaign.images import portable
from repvit_nas.campaign.records import RunsFile, TrainingTask
from repvit_nas.campaign.study import CampaignStudy
from repvit_nas.campaign.training import Workplace
from repvit_nas.campaign.tries import Try
from repvit_nas.errors import RepvitNasError
from repvit_nas.networks import write_network
from repvit_nas.training.checkpoint import CHECKPOINTS, POINTER
from repvit_nas.training.log import BEST_FILES
from repvit_nas.training.publish import CONFIG_FILE, write_card
from repvit_nas.training.records import (
    ARCHITECTURE_FILE,
    CURVES_FILE,
    LOG_FILE,
    LOSSES_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    Asked,
    TrainFile,
    WrittenFile,
    differences,
    is_training_run,
)
from repvit_nas.words import Say, number_of

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

# What is kept of a finished training, its record last: whoever finds that finds the others.
KEPT: Final = (LOG_FILE, WEIGHTS_FILE, CONFIG_FILE, LOSSES_FILE, TRAINING_FILE)
CHECKPOINT_FILE: Final = "checkpoint.tar"
# What lies in that; anything else is none of ours.
_MEMBER: Final = re.compile(
    r"training\.json|log\.csv|best-\d{5}\.safetensors|checkpoints/last\.json"
    r"|checkpoints/update-\d{8,18}/(model\.safetensors|ema\.safetensors|trainer\.pt)"
)
# Nothing that a run of ours leaves is larger.
_MOST_BYTES: Final = 1 << 32
# Weights of single precision, and how many times as much a checkpoint holds: the weights, their
# average, and two states of the optimizer; of which the last two are kept.
_BYTES, _TIMES = 4, 8


class Artifacts:
    """The files of a campaign's trainings in an artifact store.

    Args:
        store: The store.
        study: The study, whose trials say what is there.
        workplace: What trains networks here.
        checkpoints: Keep a checkpoint after each epoch.
        say: Told of what cannot be kept or brought.
    """

    def __init__(
        self,
        store: "ArtifactStore",
        study: CampaignStudy,
        workplace: Workplace,
        *,
        checkpoints: bool = False,
        say: Say = lambda _: None,
    ) -> None:
        self.checkpoints = checkpoints
        self._store = store
        self._study = study
        self._workplace = workplace
        self._say = say
        # What this worker kept last of each try.
        self._checkpoints: dict[int, list[str]] = {}

    def keep(self, one: Try, folder: Path) -> None:
        """Keep log and weights of a finished training."""
        drawn = [path for path in (folder / CURVES_FILE,) if path.is_file()]
        self._tried(
            f"{one.task.name}: its log and weights are not kept",
            lambda: self._upload(one, *drawn, *(folder / name for name in KEPT)),
        )
        self._forget(self._kept(one).get(CHECKPOINT_FILE, []))

    def keep_checkpoint(self, one: Try, folder: Path) -> None:
        """Keep the last checkpoint of a training under way, instead of the one before."""

        def keep() -> None:
            with tempfile.TemporaryDirectory() as place:
                path = Path(place) / CHECKPOINT_FILE
                _pack(folder, path)
                kept = self._upload(one, path)
            # A trial lists for ever, in any order, what it once kept.
            self._forget(self._checkpoints.get(one.trial_id, []))
            self._checkpoints[one.trial_id] = kept

        self._tried(f"{one.task.name}: its checkpoint is not kept", keep)

    def bring(self, tries: Sequence[Try], task: TrainingTask) -> None:
        """Bring what a training starts from: a checkpoint of a try that was lost, the network it inherits from.

        Args:
            tries: All tries of the campaign.
            task: The training.
        """
        folder = self._workplace.folder_of(task)
        lost = [each for each in tries if each.task == task and each.state == "lost"]
        packed = [each for one in lost for each in self._kept(one).get(CHECKPOINT_FILE, [])]
        if packed and not is_training_run(folder):
            self._tried(
                f"{task.name}: its checkpoint cannot be brought, it begins anew",
                lambda: self._unpack(self._last(packed), task, folder),
            )
        donor = self._workplace.donor_of(task)
        if donor is not None and not is_training_run(self._workplace.folder_of(donor)):
            self.bring_finished(tries, donor)

    def bring_finished(self, tries: Sequence[Try], task: TrainingTask) -> None:
        """Bring a training that another worker has finished, if that was kept.

        Args:
            tries: All tries of the campaign.
            task: The training.
        """
        done = [each for each in tries if each.task == task and each.state == "done"]
        if done:
            self._tried(
                f"{task.name} cannot be brought, it is trained here as well",
                lambda: self._fetch(done[0], task),
            )

    def _tried(self, otherwise: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # each store raises what its service does
            self._say(f"{otherwise}: {in_a_line(error)}")

    def _forget(self, artifacts: Sequence[str]) -> None:
        """Remove what a trial lists, which may be removed already: each store says that its own way."""
        for artifact in artifacts:
            with contextlib.suppress(Exception):
                self._store.remove(artifact)

    def _upload(self, one: Try, *paths: Path) -> list[str]:
        """Keep files of a try; returns what the store calls them."""
        from optuna.artifacts import upload_artifact

        study = self._study
        trial = study.call(lambda: study.storage.get_trial(one.trial_id))
        return [
            upload_artifact(
                artifact_store=self._store,
                file_path=str(path),
                study_or_trial=trial,
                storage=study.storage,
            )
            for path in paths
        ]

    def _kept(self, one: Try) -> dict[str, list[str]]:
        """Return what the store calls a try's files, by their names; also of those that are removed."""
        from optuna.artifacts import get_all_artifact_meta

        storage = self._study.storage
        listed = self._study.call(
            lambda: get_all_artifact_meta(storage.get_trial(one.trial_id), storage=storage)
        )
        kept: dict[str, list[str]] = {}
        for each in listed:
            kept.setdefault(each.filename, []).append(each.artifact_id)
        return kept

    def _last(self, artifacts: Sequence[str]) -> bytes:
        """Return the content of the one that is left of files that replaced each other."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        for artifact in reversed(artifacts):
            with contextlib.suppress(ArtifactNotFound):
                return self._read(artifact)
        raise RepvitNasError("it is not in the store any more")

    def _read(self, artifact: str) -> bytes:
        with self._store.open_reader(artifact) as reader:
            content = reader.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise RepvitNasError(f"is larger than {_MOST_BYTES:,} bytes")
        return content

    def _fetch(self, one: Try, task: TrainingTask) -> None:
        """Bring a finished training into its folder, its record last.

        Raises:
            RepvitNasError: It is not what was trained.
        """
        kept, content = self._kept(one), {}
        for name in (*({CURVES_FILE} & kept.keys()), *KEPT):
            if name not in kept:
                raise RepvitNasError(f"{name} is not in the store")
            content[name] = self._last(kept[name])
        folder, asked = self._workplace.folder_of(task), self._workplace.training_of(task)
        record = _own(content.pop(TRAINING_FILE), asked, self._workplace.file.command)
        if record.outcome is None:
            raise RepvitNasError("it was not finished")
        for name, each in content.items():
            files.write_bytes(folder / name, each)
        WrittenFile.of(folder / WEIGHTS_FILE, record.outcome.weights_digest).check()
        WrittenFile.of(folder / CONFIG_FILE, record.outcome.config_digest).check()
        write_network(folder / ARCHITECTURE_FILE, asked.architecture)
        write_card(folder, record)
        files.write_json(folder / TRAINING_FILE, record)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # of a try that was lost here

    def _unpack(self, archive: bytes, task: TrainingTask, folder: Path) -> None:
        """Bring a checkpoint into a folder, its record last.

        Raises:
            RepvitNasError: It is none, or of another training.
        """
        asked = self._workplace.training_of(task)
        content: dict[str, bytes] = {}
        # Nothing compressed is opened, which could be of any size.
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as packed:
            for member in packed:
                source = packed.extractfile(member) if member.isreg() else None
                if source is None or not _MEMBER.fullmatch(member.name) or member.name in content:
                    raise RepvitNasError(f"holds {member.name!r}, which no checkpoint does")
                content[member.name] = source.read()
        record = _own(content.pop(TRAINING_FILE, b""), asked, self._workplace.file.command)
        if record.asked.processes != asked.processes:  # this machine may not have as many devices
            raise RepvitNasError(
                f"is of {number_of(record.asked.processes, 'process')}, not {asked.processes}"
            )
        for name, each in content.items():
            files.write_bytes(folder / name, each)
        files.write_json(folder / TRAINING_FILE, record)


def _pack(folder: Path, path: Path) -> None:
    """Write what a training goes on from into one file."""
    inside = [folder / TRAINING_FILE, folder / LOG_FILE, *folder.glob(BEST_FILES)]
    inside += sorted((folder / CHECKPOINTS).rglob("*"))
    with tarfile.open(path, "w") as packed:
        for each in inside:
            name = each.relative_to(folder).as_posix()
            if each.is_file() and _MEMBER.fullmatch(name):
                packed.add(each, name)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a training has written a checkpoint."""
    return (folder / CHECKPOINTS / POINTER).is_file()


def _own(content: bytes, asked: Asked, command: str) -> TrainFile:
    """Return the record of a training made elsewhere as one made here.

    Raises:
        RepvitNasError: It was asked something else than the names that each machine has of its own.
    """
    try:
        record = msgspec.json.decode(content, type=TrainFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RepvitNasError(f"{TRAINING_FILE}: {error}") from error

    def shared(one: Asked) -> Asked:
        return msgspec.structs.replace(one.by_one, data=portable(one.data), init="")

    apart = differences(shared(record.asked), shared(asked))
    if apart:
        raise RepvitNasError(f"is of another training: {apart[0]}")
    by = msgspec.structs.replace(
        asked, recipe=record.asked.recipe, processes=record.asked.processes
    )
    return msgspec.structs.replace(record, asked=by, command=command)


def sizes_text(workplace: Workplace, *, checkpoints: bool) -> str:
    """Say how much a training of the campaign puts into a store."""
    from repvit_nas.training.tasks import new_network

    file = workplace.file
    tasks = file.tasks if isinstance(file, RunsFile) else (workplace.first,)
    sizes = []
    for architecture in dict.fromkeys(task.architecture for task in tasks):
        network = new_network(architecture, file.asked.recipe, 0)
        sizes.append(_BYTES * sum(each.numel() for each in network.parameters()) / 1e6)
    size = max(sizes)
    about = f"up to {size:,.1f}" if len(sizes) > 1 else f"about {size:,.1f}"
    said = f"artifacts: {about} MB of weights a training"
    if checkpoints:
        said += f", and up to {_TIMES * size:,.0f} MB of checkpoints while it is under way"
    return said
