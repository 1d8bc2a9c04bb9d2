import msgspec
import numpy as np
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.searching.records import Result
from repvit_nas.searching.whole import unpack_whole, whole_bytes

SHIPPED = ROOT / "results" / "iphone12-1.0ms" / "front.json"


@pytest.fixture
def beside():
    """Return the front that stands beside a file of so many networks."""
    shipped = files.read_json(SHIPPED, Result)

    def make(content, whole):
        return msgspec.structs.replace(
            shipped, whole=whole, whole_digest=files.digest(content), shown_share=0.9
        )

    return make


def test_a_whole_front_is_read_as_it_was_written_in_few_bytes(small_space, beside):
    choices = small_space.sample(np.random.default_rng(0), 5000)
    content = whole_bytes(choices)

    found = unpack_whole("front.npz", content, beside(content, 5000), small_space)

    assert np.array_equal(found, choices)
    assert found.dtype == choices.dtype
    assert len(content) < 20 * len(choices)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda choices: choices[:-1], "must be"),
        (lambda choices: choices[:, 1:], "must be"),
        (lambda choices: choices + 100, "must be"),
    ],
)
def test_choices_of_another_space_or_number_are_refused(small_space, beside, change, said):
    content = whole_bytes(change(small_space.sample(np.random.default_rng(0), 20)))

    with pytest.raises(FileError, match=said):
        unpack_whole("front.npz", content, beside(content, 20), small_space)


def test_a_file_of_another_search_is_refused(small_space, beside):
    content = whole_bytes(small_space.sample(np.random.default_rng(0), 20))

    with pytest.raises(FileError, match="belongs to another search"):
        unpack_whole("front.npz", content + b"0", beside(content, 20), small_space)
