import contextlib
import importlib.util
import io

import pytest

from repvit_nas.artifacts import open_artifacts
from repvit_nas.errors import RepvitNasError


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


@pytest.mark.parametrize(
    ("url", "name", "said"),
    [
        ("s3://bucket", "boto3", r"needs boto3: pip install 'repvit-nas\[s3\]'"),
        ("gs://bucket", "google.cloud", r"needs google-cloud-storage: .*\[gcs\]"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_its_extra(url, name, said):
    with contextlib.suppress(ImportError):
        if importlib.util.find_spec(name):
            pytest.skip(f"{name} is installed")

    with pytest.raises(RepvitNasError, match=said):
        open_artifacts(url)
