"""What an `.mlpackage` is on disk."""

import pytest

from repvit_nas.conversion.package import package_digest
from repvit_nas.errors import FileError

# As coremltools 9 writes them.
PARTS = (
    "Manifest.json",
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
)


def package(folder, contents=(b"a", b"b", b"c")):
    for part, content in zip(PARTS, contents, strict=True):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_bytes(content)
    return folder


@pytest.mark.parametrize("place", range(3))
def test_the_digest_depends_on_every_part(tmp_path, place):
    contents = [b"a", b"b", b"c"]
    before = package_digest(package(tmp_path / "one", contents))
    contents[place] = b"d"

    assert package_digest(package(tmp_path / "other", contents)) != before


def test_the_digest_depends_on_nothing_else(tmp_path):
    one, other = package(tmp_path / "one"), package(tmp_path / "other")
    (other / "compiled.txt").write_text("beside it")

    assert package_digest(one) == package_digest(other)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_missing_is_said(tmp_path, part):
    (package(tmp_path) / part).unlink()

    with pytest.raises(FileError, match="cannot be read: No such file"):
        package_digest(tmp_path)
