"""Accuracies of trainings made elsewhere, put with what a name knows already, and fitted."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from repvit_nas.accuracy import trained
from repvit_nas.accuracy.importing import observations_of, read_rows
from repvit_nas.accuracy.observations import Circumstances, ObservationLog, circumstances_of
from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import refuse_links
from repvit_nas.search_space.space import Space


class ImportedAccuracies(NamedTuple):
    """What a file of accuracies added to an estimator.

    Attributes:
        name: The estimator.
        folder: Its folder.
        rows: Accuracies in the file.
        added: Those among them that were not known.
        observations: All that are known now.
        networks: Of how many networks the fit is; None where nothing could be fitted.
        unfitted: Why nothing could be; empty where something was.
    """

    name: str
    folder: Path
    rows: int
    added: int
    observations: int
    networks: int | None
    unfitted: str = ""


def import_accuracies(
    path: Path, name: str, spaces: Sequence[Space], *, data: str = "", recipe: str = ""
) -> ImportedAccuracies:
    """Add the accuracies of a file to an estimator's, and fit it.

    Args:
        path: A CSV or JSON file, as :class:`ImportRow` says.
        name: The estimator.
        spaces: A network must be of one of them, at any resolution.
        data: The data set, where the file does not say; empty takes that of the name.
        recipe: The recipe, where the file does not say; empty takes that of the name.

    Raises:
        FileError: The file or the log is not valid, or the fit cannot be written.
        RepvitNasError: They cannot be compared with what the name knows, or another name stands for
            their data set and recipe.
    """
    folder = trained.folder_of(name)
    refuse_links(folder, "give another --name")  # before anything is read through one
    log = ObservationLog(folder)
    given = _circumstances(log, name, data, recipe)
    observations = observations_of(read_rows(path), path, given, spaces)
    for circumstances in dict.fromkeys(each.circumstances for each in observations):
        trained.refuse_second_name(name, circumstances)
    with trained.locked(folder):  # a campaign may be under way
        added = log.append(observations)
        everything = log.read()
        imported = ImportedAccuracies(name, folder, len(observations), added, len(everything), None)
        try:
            fitted = trained.fit(name, everything, folder)
        except RepvitNasError as error:
            return imported._replace(unfitted=str(error))
        trained.write(folder, fitted)
    return imported._replace(networks=fitted.networks)


def _circumstances(log: ObservationLog, name: str, data: str, recipe: str) -> Circumstances:
    """Return what rows that do not say theirs are of."""
    known = log.read()
    before = circumstances_of(known) if known else None
    return Circumstances(
        data=data or (before.data if before else name),
        recipe=recipe or (before.recipe if before else "as imported"),
        data_digest=before.data_digest if before and data in {"", before.data} else "",
        recipe_digest=before.recipe_digest if before and recipe in {"", before.recipe} else "",
    )
