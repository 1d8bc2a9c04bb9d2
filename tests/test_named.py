import msgspec
import pytest

from repvit_nas import load_architecture
from repvit_nas.architecture import Architecture, Stage, write_architecture
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.files import encode_json
from repvit_nas.named import space_of
from repvit_nas.search_space import family, load_space


@pytest.fixture
def architecture():
    return Architecture(
        name="mine", stages=tuple(Stage(width=8, depth=1, se="0") for _ in range(4))
    )


def test_a_reference_name_is_a_network():
    assert load_architecture("repvit_m0_9") == family()["repvit_m0_9"].architecture


def test_a_file_is_a_network_whatever_it_is_called(tmp_path, architecture):
    for name in ("a.json", "a", "a:b.json"):
        write_architecture(tmp_path / name, architecture)

        assert load_architecture(tmp_path / name) == architecture
        assert load_architecture(str(tmp_path / name)) == architecture


def test_an_architecture_stays_itself(architecture):
    assert load_architecture(architecture) is architecture


def test_a_winner_of_a_run_is_a_network(elsewhere, architecture):
    write_architecture(elsewhere / "results" / "run" / "winners" / "best.json", architecture)

    assert load_architecture("results/run:best") == architecture
    assert load_architecture("results/run:") == architecture
    assert load_architecture("run:best") == architecture


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("repvit_m9", RepvitNasError, "repvit_m0_9"),
        ("missing.json", FileError, "cannot be read"),
        ("results/none:best", RepvitNasError, "run 'none' is not known"),
        ("", RepvitNasError, "is no network"),
    ],
)
def test_what_is_no_network_is_explained(elsewhere, text, error, words):
    with pytest.raises(error, match=words):
        load_architecture(text)


def test_a_winner_that_is_not_there_is_listed_with_those_that_are(elsewhere, architecture):
    write_architecture(elsewhere / "results" / "run" / "winners" / "best.json", architecture)

    with pytest.raises(RepvitNasError, match="'worst' is not known; known: best"):
        load_architecture("results/run:worst")


def test_a_run_of_another_place_is_not_answered_with_the_shipped_one(elsewhere):
    for run in ("iphone12-1.0ms", "results/iphone12-1.0ms", "./results/iphone12-1.0ms"):
        assert load_architecture(f"{run}:best").num_classes == 1000
    for run in ("/no/such/place/iphone12-1.0ms", "other/iphone12-1.0ms"):
        with pytest.raises(RepvitNasError, match="holds no finished run"):
            load_architecture(f"{run}:best")


@pytest.mark.parametrize("text", ["a" * 300, "a" * 300 + ":best", "results/" + "a" * 300 + ":best"])
def test_a_name_too_long_for_a_file_is_one_line(elsewhere, text):
    with pytest.raises(RepvitNasError, match="cannot be read: File name too long"):
        load_architecture(text)


def test_a_winners_number_leads_nowhere_but_to_its_winners(elsewhere, architecture):
    """A run from somebody else names an architecture outside its folder."""
    write_architecture(elsewhere / "outside.json", architecture)
    winners = elsewhere / "results" / "run" / "winners"
    write_architecture(winners / "best.json", architecture)
    front = {
        "schema": 1, "front": [], "best": None, "winners": ["../../../outside"],
        "accuracy_meaning": "", "trials": 1, "evaluations": 1,
    }  # fmt: skip
    (winners.parent / "front.json").write_bytes(msgspec.json.encode(front))
    (winners / "linked.json").symlink_to(elsewhere / "outside.json")

    with pytest.raises(RepvitNasError, match="'../../../outside' is not known; known: best"):
        load_architecture("results/run:0")
    with pytest.raises(FileError, match="leads out of"):
        load_architecture("results/run:linked")


def test_a_winner_brings_the_space_it_was_searched_in(elsewhere, architecture):
    run = elsewhere / "results" / "run"
    write_architecture(run / "winners" / "best.json", architecture)
    assert space_of("results/run:best") is None  # made before runs kept their space

    (run / "space.json").write_bytes(encode_json(load_space("coarse")[0].file))

    for text in ("results/run:best", "run:best"):
        assert space_of(text).digest == load_space("coarse")[0].digest
    for text in ("repvit_m0_9", "results/run/winners/best.json"):
        assert space_of(text) is None
