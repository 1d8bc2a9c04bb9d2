import pytest

from repvit_nas import data, files
from repvit_nas.errors import FileError, UnknownNameError
from repvit_nas.search_space import family, reference
from repvit_nas.search_space.family import (
    FamilyFile,
    PublishedAccuracy,
    published_accuracies,
    published_top1,
)

# arXiv:2307.09283v8 Table 1, 300 epochs.
TABLE_1 = {
    "repvit_m0_9": 78.7,
    "repvit_m1_0": 80.0,
    "repvit_m1_1": 80.7,
    "repvit_m1_5": 82.3,
    "repvit_m2_3": 83.3,
}


def test_the_family_is_there_in_order():
    assert list(family()) == [
        "repvit_m0_6",
        "repvit_m0_9",
        "repvit_m1_0",
        "repvit_m1_1",
        "repvit_m1_5",
        "repvit_m2_3",
        "repvit_m1",
        "repvit_m2",
        "repvit_m3",
    ]


@pytest.mark.parametrize(("name", "top1"), TABLE_1.items())
def test_accuracies_round_to_the_papers(name, top1):
    row = published_top1(name)

    assert row is not None
    assert round(row.top1, 1) == top1
    assert row.source


def test_rows_of_a_reference_have_its_shape():
    for row in published_accuracies():
        if row.network in family():
            assert row.architecture == reference(row.network).architecture


def test_an_unknown_network_is_answered_with_the_known():
    with pytest.raises(UnknownNameError, match="repvit_m0_9"):
        reference("repvit_m7")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("depth = [2, 2, 14, 2]", "depth = [2, 2, 2147483648, 2]", r"depth\[2\].*<= 4096"),
        ("depth = [2, 2, 14, 2]", "depth = [2, 2, 100, 2]", "depth must be 1 to 64; got 100"),
        ("depth = [2, 2, 14, 2]", "depth = [2, 2, 0, 2]", r"depth\[2\].*>= 1; got 0"),
        ("width = [48, 96, 192, 384]", "width = [48, 97, 192, 384]", "multiple of 8.*got 97"),
        ("params_m = 5.1", "params_m = nan", "params_m"),
        ("params_m = 5.1", "params_m = -1.0", "params_m"),
        ('name = "repvit_m1_0"', 'name = "repvit_m0_9"', "different names; got 'repvit_m0_9'"),
    ],
)
def test_a_family_that_cannot_be_is_refused_by_its_field(tmp_path, old, new, words):
    text = data.find("search_space", "family.toml", "family").path.read_text()
    assert old in text
    path = tmp_path / "family.toml"
    path.write_text(text.replace(old, new, 1))

    with pytest.raises(FileError, match=words) as found:
        files.read_toml(path, FamilyFile)

    assert str(path) in str(found.value)
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("depth", ["2-2-14", "2-2-x-2", "2-2-99999999999-2", ""])
def test_a_published_row_that_is_no_network_is_refused(tmp_path, depth):
    path = tmp_path / "accuracy.csv"
    path.write_text(
        "network,family,width,depth,se,recipe,top1,source\n"
        f"m,repvit,48-96-192-384,{depth},alternate,distilled-300,78.7,nobody\n"
    )

    with pytest.raises(FileError, match=r"accuracy\.csv"):
        files.read_csv(path, PublishedAccuracy)
