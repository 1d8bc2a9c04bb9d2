"""Real artifact stores for tests: servers on the loopback address that speak as S3 and Google's storage do."""

import contextlib
import importlib.util
import subprocess
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

from databases import free_port, wait_for


class Kind(NamedTuple):
    """What serves a kind of bucket, and how its client is told to go there."""

    scheme: str
    needs: tuple[str, ...]
    install: str
    serve: tuple[str, ...]
    environment: dict[str, str]


KINDS = {
    kind.scheme: kind
    for kind in (
        Kind(
            "s3",
            ("boto3", "moto", "flask", "flask_cors"),
            "pip install 'repvit-nas[test-s3]'",
            ("moto.server", "-H", "127.0.0.1", "-p", "{port}"),
            {
                "AWS_ENDPOINT_URL": "http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "nas",
                "AWS_SECRET_ACCESS_KEY": "geheim",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        ),
        Kind(
            "gs",
            ("google.cloud.storage", "gcp_storage_emulator"),
            "pip install 'repvit-nas[test]'",
            ("gcp_storage_emulator", "start", "-H", "127.0.0.1", "--port", "{port}", "-M", "-q"),
            {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:{port}"},
        ),
    )
}


def is_installed(module):
    with contextlib.suppress(ImportError):
        return importlib.util.find_spec(module) is not None
    return False


@contextlib.contextmanager
def bucket_server(kind):
    """Run a server of a kind of buckets; yields the environment that leads its client there."""
    port = free_port()
    words = [each.format(port=port) for each in kind.serve]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", *words], **pipes) as server:
        try:
            wait_for(port)
            yield {key: value.format(port=port) for key, value in kind.environment.items()}
        finally:
            server.kill()


def new_bucket(scheme):
    """Make a bucket where the environment leads to; return its URL."""
    name = f"bucket-{uuid.uuid4()}"
    if scheme == "s3":
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)
    else:
        from google.cloud import storage

        storage.Client().create_bucket(name)
    return f"{scheme}://{name}"


def remove_bucket(url):
    """Remove an empty bucket."""
    scheme, _, name = url.rpartition("://")
    if scheme == "s3":
        import boto3

        boto3.client("s3").delete_bucket(Bucket=name)
    else:
        from google.cloud import storage

        storage.Client().bucket(name).delete()


def names_in(url):
    """Return what a store holds, a bucket or a folder."""
    scheme, _, name = url.rpartition("://")
    if scheme == "s3":
        import boto3

        listed = boto3.client("s3").list_objects_v2(Bucket=name)
        return [each["Key"] for each in listed.get("Contents", [])]
    if scheme == "gs":
        from google.cloud import storage

        return [each.name for each in storage.Client().list_blobs(name)]
    return [path.name for path in Path(name).iterdir()]
