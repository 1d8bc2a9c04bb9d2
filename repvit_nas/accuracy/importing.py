"""Accuracies of trainings made elsewhere: a CSV or JSON file becomes observations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.accuracy.observations import (
    RANDOM,
    AccuracyObservation,
    Circumstances,
    binomial_sd,
)
from repvit_nas.architecture import SE_PATTERNS, Architecture, Stage, se_bits, with_classes
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.quantities import Count, Deviation, Loss, Percent, Seed, Side
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import Space

_EXAMPLE: Final = "48-96-192-384"


class ImportRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of a file of accuracies; what describes the network may be given in three ways.

    Attributes:
        network: A reference name, or what to call the network.
        file: Its architecture file, beside the table or by its own path.
        architecture: The content of one, in a JSON file.
        width: Channels of the stages, such as `48-96-192-384`.
        depth: Blocks of the stages after the downsample.
        se: `none`, `alternate`, `all`, or the stages' digits such as `10-10-1010-10`.
        expansion: Of the stages, or one for all.
        kernel: Of the stages, or one for all.
        resolution: Input side in pixels.
        num_classes: Outputs of the classifier.
        top1: Percent right on the validation images.
        top1_sd: What their number leaves open, in points.
        loss: Cross-entropy on them.
        loss_sd: What their number leaves open.
        images: How many validation images.
        epochs: Of the training.
        seed: Of the training.
        start: What the weights started from.
        data: The data set, where the table holds it.
        recipe: The recipe, where the table holds it.
        source: Where the accuracy is from.
    """

    network: str = ""
    file: str = ""
    architecture: Architecture | None = None
    width: str = ""
    depth: str = ""
    se: str = "alternate"
    expansion: str = "2"
    kernel: str = "3"
    resolution: Side | None = None
    num_classes: Count | None = None
    top1: Percent
    top1_sd: Deviation | None = None
    loss: Loss | None = None
    loss_sd: Deviation | None = None
    images: Count | None = None
    epochs: Count | None = None
    seed: Seed | None = None
    start: str = RANDOM
    data: str = ""
    recipe: str = ""
    source: str = ""


def read_rows(path: Path) -> list[ImportRow]:
    """Read a CSV or JSON file of accuracies.

    Raises:
        FileError: It is neither, is empty, or a row is not as :class:`ImportRow` asks.
    """
    match path.suffix.lower():
        case ".csv":
            rows = files.read_csv(path, ImportRow)
        case ".json":
            rows = files.read_json(path, list[ImportRow], schema=None)
        case _:
            raise FileError(f"{path}: accuracies are read from a .csv or a .json file")
    if not rows:
        raise FileError(f"{path}: holds no accuracies")
    return rows


def observations_of(
    rows: Sequence[ImportRow], path: Path, circumstances: Circumstances, spaces: Sequence[Space]
) -> list[AccuracyObservation]:
    """Turn rows into observations.

    Args:
        rows: What the file holds.
        path: The file, for messages and for the files that rows name.
        circumstances: The data set and recipe of rows that do not say theirs.
        spaces: A network must be of one of them, at any resolution.

    Raises:
        FileError: A row is no network of any space, or an accuracy is impossible.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            observation = _observation(row, path, circumstances, spaces)
            if not row.source:
                named = f"{path.name}, row {number}"
                observation = msgspec.structs.replace(observation, source=named)
            found.append(observation)
        except (RepvitNasError, ValueError) as error:
            raise FileError(f"{path}: row {number}: {error}") from error
    return found


def _observation(
    row: ImportRow, path: Path, given: Circumstances, spaces: Sequence[Space]
) -> AccuracyObservation:
    if row.top1 <= 1:
        said = f": a fraction? {row.top1:g} as percent is {100 * row.top1:g}" if row.top1 else ""
        raise RepvitNasError(f"top1 must be above 1 and at most 100 percent; got {row.top1}{said}")
    architecture = _architecture(row, path)
    _check_known(architecture, spaces)
    known = row.images is not None and row.top1_sd is None
    return AccuracyObservation(
        architecture=architecture,
        circumstances=Circumstances(
            data=row.data or given.data,
            data_digest="" if row.data and row.data != given.data else given.data_digest,
            recipe=row.recipe or given.recipe,
            recipe_digest="" if row.recipe and row.recipe != given.recipe else given.recipe_digest,
        ),
        epochs=row.epochs,
        seed=row.seed,
        start=row.start,
        top1=row.top1,
        top1_sd=binomial_sd(row.top1, row.images or 1) if known else row.top1_sd,
        loss=row.loss,
        loss_sd=row.loss_sd,
        images=row.images,
        origin="imported",
        source=row.source or path.name,
    )


def _architecture(row: ImportRow, path: Path) -> Architecture:
    """Return the network of a row."""
    changes: dict[str, Any] = {"name": row.network} if row.network else {}
    if row.resolution is not None:
        changes["resolution"] = row.resolution
    if row.architecture is not None:
        found = row.architecture
    elif row.file:
        from repvit_nas.architecture import read_architecture

        beside = path.parent / row.file
        found = read_architecture(beside if beside.is_file() else Path(row.file))
    elif row.width and row.depth:
        found = Architecture(stages=_stages(row))
    elif row.network in family():
        found = family()[row.network].architecture
    else:
        raise RepvitNasError(
            "a network is given by `width` and `depth`, by `file`, by `architecture` (JSON), or as "
            f"`network` by a reference name ({', '.join(family())}); got network {row.network!r}"
        )
    if row.num_classes is not None:
        found = with_classes(found, row.num_classes)
    return msgspec.structs.replace(found, **changes)


def _stages(row: ImportRow) -> tuple[Stage, Stage, Stage, Stage]:
    width, depth = (
        [int(part) for part in _four(getattr(row, name), name)] for name in ("width", "depth")
    )
    expansion = [float(part) for part in _four(row.expansion, "expansion")]
    kernel = [int(part) for part in _four(row.kernel, "kernel")]
    if row.se in SE_PATTERNS:
        se = [se_bits(SE_PATTERNS[row.se], blocks) for blocks in depth]
    else:
        se = _four(row.se, "se")
    first, second, third, fourth = (
        Stage(width=width[i], depth=depth[i], se=se[i], expansion=expansion[i], kernel=kernel[i])
        for i in range(4)
    )
    return (first, second, third, fourth)


def _four(text: str, field: str) -> list[str]:
    """Return the values of the four stages; a single one holds for all."""
    parts = [part.strip() for part in text.split("-")]
    if len(parts) == 1 and field in {"expansion", "kernel"}:
        parts *= 4
    if len(parts) != 4:
        raise RepvitNasError(f"{field} must hold four values such as {_EXAMPLE}; got {text!r}")
    return parts


def _check_known(architecture: Architecture, spaces: Sequence[Space]) -> None:
    """Refuse a network of no space; references are known without one."""
    if any(each.architecture.stages == architecture.stages for each in family().values()):
        return
    said = []
    for space in spaces:
        default = space.file.resolution.default
        try:
            space.check(msgspec.structs.replace(architecture, resolution=default))
        except RepvitNasError as error:
            said.append(str(error))
        else:
            return
    raise RepvitNasError(f"is a network of no known space: {'; '.join(said)}")
