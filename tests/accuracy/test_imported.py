import json

import pytest

from repvit_nas.accuracy.imported import import_accuracies
from repvit_nas.accuracy.trained import read
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search_space.space import known_spaces, load_space

SPACES = [load_space(name)[0] for name in known_spaces()]


@pytest.fixture
def rows(elsewhere):
    """Write a file of trainings of networks that differ in the depth of the third stage."""

    def write(*depths):
        path = elsewhere / "rows.json"
        found = [
            {"width": "48-96-192-384", "depth": f"2-2-{depth}-2", "top1": 60 + depth / 2, "seed": 0}
            for depth in depths
        ]
        path.write_text(json.dumps(found))
        return path

    return write


def test_a_file_is_added_once_and_fitted(rows):
    first = import_accuracies(rows(8, 10, 12), "plants", SPACES, recipe="ours")
    second = import_accuracies(rows(8, 10, 12, 14), "plants", SPACES)

    assert (first.rows, first.added, first.observations, first.networks) == (3, 3, 3, 3)
    assert (second.rows, second.added, second.observations, second.networks) == (4, 1, 4, 4)
    assert second.unfitted == ""
    assert read(second.folder).file.circumstances.recipe == "ours"


def test_what_is_too_few_to_fit_is_kept_and_said(rows):
    imported = import_accuracies(rows(8), "plants", SPACES)

    assert imported.added == 1
    assert imported.networks is None
    assert "at least 2 different ones are needed" in imported.unfitted


def test_a_fit_that_cannot_be_written_is_an_error_and_what_was_added_stays(rows):
    folder = import_accuracies(rows(8), "plants", SPACES).folder
    (folder / "posterior.json").mkdir()

    with pytest.raises(FileError, match=r"posterior\.json: cannot be written"):
        import_accuracies(rows(8, 10), "plants", SPACES)

    (folder / "posterior.json").rmdir()
    assert import_accuracies(rows(8, 10), "plants", SPACES).added == 0


def test_another_recipe_needs_another_name(rows):
    import_accuracies(rows(8, 10), "plants", SPACES, recipe="ours")

    with pytest.raises(RepvitNasError, match="recipe 'ours' -> 'other'"):
        import_accuracies(rows(8, 10), "plants", SPACES, recipe="other")
