"""What a run leaves after each epoch: its log, its picture, and the best weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.checkpoint import write_tensors
from repvit_nas.training.loading import World
from repvit_nas.training.matching import match_text
from repvit_nas.training.place import Place
from repvit_nas.training.records import CURVES_FILE, LOG_FILE, EpochRow, MatchRow, file_digest
from repvit_nas.training.trainer import Trainer
from repvit_nas.words import Say

BEST_FILES: Final = "best-*.safetensors"
Picture = Callable[[Sequence[EpochRow]], bytes]
# What is drawn of an epoch, as far as its row says it.
_SCALARS: Final = ("lr", "train_loss", "loss", "top1", "ema_top1", "mse", "cosine", "ema_loss")


class RunLog:
    """What a run writes after each epoch."""

    def __init__(
        self,
        folder: Path,
        picture: Picture | None,
        place: Place,
        world: World,
        *,
        kept: int,
        say: Say,
    ) -> None:
        self.say = say
        self.kept = kept  # the best epoch of the last checkpoint
        self.folder = folder
        self.picture = picture
        self.world = world
        self.board: Any = None
        if place.tensorboard and not world.rank:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise RepvitNasError(
                    "--tensorboard needs: pip install 'repvit-nas[tensorboard]'"
                ) from error
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def epoch_done(self, trainer: Trainer, is_best: bool) -> None:
        """Write the log, its picture, and the best weights."""
        if self.world.rank:
            return
        if is_best and trainer.recipe.keep == "best":
            best = best_file(self.folder, trainer.best_epoch)
            write_tensors(best, trainer.chosen().state_dict())
            trainer.best_digest = file_digest(best)
            # A run that is killed before its checkpoint goes on from the one before.
            kept = {best_file(self.folder, epoch) for epoch in (self.kept, trainer.best_epoch)}
            for path in set(self.folder.glob(BEST_FILES)) - kept:
                path.unlink(missing_ok=True)
        self.kept = trainer.best_epoch
        row = trainer.rows[-1]
        text = match_text if isinstance(row, MatchRow) else epoch_text
        self.say(text(row, trainer.recipe.epochs))
        files.write_bytes(self.folder / LOG_FILE, log_csv(trainer.rows))
        if self.picture is not None:
            files.write_bytes(self.folder / CURVES_FILE, self.picture(trainer.rows))
        if self.board is not None:
            for name in _SCALARS:
                value = getattr(row, name, None)
                if value is not None:
                    self.board.add_scalar(name, value, row.updates)
            self.board.flush()


def best_file(folder: Path, epoch: int) -> Path:
    """Return where a run keeps the weights of its best epoch."""
    return folder / BEST_FILES.replace("*", f"{epoch:05d}")


def epoch_text(row: EpochRow, epochs: int) -> str:
    """Return an epoch in one line."""
    averaged = "" if row.ema_top1 is None else f" ({row.ema_top1:.2f} % averaged)"
    speed = "" if row.images_per_s is None else f", {row.images_per_s:,.0f} images/s"
    return (
        f"epoch {row.epoch}/{epochs}: training loss {row.train_loss:.3f}, validation loss "
        f"{row.loss:.3f}, top-1 {row.top1:.2f} %{averaged}{speed}"
    )


def log_csv(rows: Sequence[EpochRow | MatchRow]) -> bytes:
    """Return the log as CSV: a line for each epoch."""
    fields = rows[0].__struct_fields__
    return files.encode_csv({field: [getattr(row, field) for row in rows] for field in fields})
