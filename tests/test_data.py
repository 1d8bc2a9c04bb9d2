import pytest

from repvit_nas import data
from repvit_nas.errors import UnknownNameError


def test_the_working_directory_comes_before_the_shipped_copy(elsewhere):
    shipped = data.find("search_space", "repvit.toml", "space")
    (elsewhere / "search_space").mkdir()
    (elsewhere / "search_space" / "repvit.toml").write_text("")

    own = data.find("search_space", "repvit.toml", "space")

    assert shipped.shipped
    assert "shipped" in str(shipped)
    assert not own.shipped
    assert str(own) == "search_space/repvit.toml"


def test_what_there_is_is_listed_when_a_name_is_wrong(elsewhere):
    with pytest.raises(
        UnknownNameError, match="space 'nope.toml' is not known; known: .*coarse.*repvit"
    ):
        data.find("search_space", "nope.toml", "space")


def test_names_of_folders_keep_their_dots(elsewhere):
    (elsewhere / "results" / "iphone12-1.0ms").mkdir(parents=True)

    assert "iphone12-1.0ms" in data.listed("results")
