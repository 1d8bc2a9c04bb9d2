"""Optuna's artifact stores by their URL: where workers on several machines keep files."""

import io
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

# What must be installed for a kind of store, and the extra that installs it.
_NEEDS: Final = {"s3": ("boto3", "s3"), "gs": ("google-cloud-storage", "gcs")}


def open_artifacts(url: str) -> "ArtifactStore":
    """Open an artifact store, and make sure that it can be written.

    Args:
        url: A folder, as a path or `file:///FOLDER`; `s3://BUCKET` or `gs://BUCKET`, whose credentials
            come from the environment as their own tools take them.

    Raises:
        RepvitNasError: It cannot be opened or written.
    """
    parts = urlsplit(url)
    try:
        store = _store(url)
        name = f"repvit-nas-{uuid.uuid4()}"
        store.write(name, io.BytesIO(b"written to see whether it can be"))
        store.remove(name)
    except ImportError as error:
        module, extra = _NEEDS[parts.scheme]
        raise RepvitNasError(
            f"the artifact store {url} needs {module}: pip install 'repvit-nas[{extra}]'"
        ) from error
    except RepvitNasError:
        raise
    except Exception as error:  # each store raises what its service does
        raise RepvitNasError(
            f"the artifact store {url} cannot be written: {in_a_line(error)}"
        ) from error
    return store


def in_a_line(error: Exception) -> str:
    """Return what a store's error says in one short line, or what it is called."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _store(url: str) -> "ArtifactStore":
    import optuna
    from optuna.artifacts import Boto3ArtifactStore, FileSystemArtifactStore, GCSArtifactStore

    parts = urlsplit(url)
    if parts.scheme in {"", "file"}:
        folder = Path(parts.path if parts.scheme else url)
        folder.mkdir(parents=True, exist_ok=True)
        return FileSystemArtifactStore(folder)
    if parts.scheme not in _NEEDS or not parts.netloc or parts.path not in {"", "/"}:
        raise RepvitNasError(
            f"an artifact store is a folder, file:///FOLDER, s3://BUCKET or gs://BUCKET; got {url}"
        )
    if parts.scheme == "s3":
        return Boto3ArtifactStore(parts.netloc)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return GCSArtifactStore(parts.netloc)
