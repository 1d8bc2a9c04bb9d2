import io
import re
import subprocess
import sys

import pytest
from buckets import names_in
from optuna.artifacts.exceptions import ArtifactNotFound

from repvit_nas.artifacts import open_artifacts
from repvit_nas.errors import RepvitNasError


class TestEveryStore:
    """What every artifact store must do."""

    @pytest.mark.parametrize("content", [b"", b"content", bytes(9_000_000)])
    def test_what_is_written_is_read_back_by_others(self, store_url, content):
        open_artifacts(store_url).write("a", io.BytesIO(content))

        with open_artifacts(store_url).open_reader("a") as reader:
            assert reader.read(len(content) + 1) == content
        assert names_in(store_url) == ["a"], "nothing is left of the attempt to write"

    def test_what_is_removed_is_not_there(self, store_url):
        store = open_artifacts(store_url)
        store.write("a", io.BytesIO(b"content"))

        store.remove("a")

        assert names_in(store_url) == []
        with pytest.raises(ArtifactNotFound):
            store.open_reader("a")

    def test_what_is_written_again_replaces_what_was_there(self, store_url):
        store = open_artifacts(store_url)
        for content in (b"before, and longer", b"after"):
            store.write("a", io.BytesIO(content))

        with store.open_reader("a") as reader:
            assert reader.read() == b"after"


@pytest.mark.parametrize("store_url", ["s3", "gs"], indirect=True)
def test_a_bucket_that_is_not_there_is_one_line(store_url):
    url = f"{store_url}-no"

    with pytest.raises(
        RepvitNasError, match=f"the artifact store {url} cannot be written: "
    ) as told:
        open_artifacts(url)
    assert re.search(r"NoSuchBucket|404", str(told.value))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_a_store_that_is_made_where_it_is_not_there(tmp_path, scheme):
    store = open_artifacts(f"{scheme}{tmp_path}/kept/here")

    store.write("a", io.BytesIO(b"content"))
    with store.open_reader("a") as reader:
        assert reader.read() == b"content"
    assert [path.name for path in (tmp_path / "kept" / "here").iterdir()] == ["a"]


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RepvitNasError, match="file cannot be written: ") as error:
        open_artifacts(f"{tmp_path}/file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "s3://bucket/folder"])
def test_a_url_that_means_nothing_says_what_would(url):
    with pytest.raises(RepvitNasError, match="s3://BUCKET or gs://BUCKET"):
        open_artifacts(url)


WITHOUT = """
import sys
url, sys.modules[sys.argv[2]] = sys.argv[1], None
from repvit_nas.artifacts import open_artifacts
from repvit_nas.errors import RepvitNasError
try:
    open_artifacts(url)
except RepvitNasError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("url", "module", "said"),
    [
        ("s3://bucket", "boto3", "boto3: pip install 'repvit-nas[s3]'"),
        (
            "gs://bucket",
            "google.cloud.storage",
            "google-cloud-storage: pip install 'repvit-nas[gcs]'",
        ),
    ],
)
def test_a_library_that_is_not_there_is_named_with_its_extra(url, module, said):
    command = [sys.executable, "-c", WITHOUT, url, module]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.stdout == f"the artifact store {url} needs {said}\n", done.stderr
