import csv
import json

import msgspec
import pytest

from repvit_nas.accuracy.importing import observations_of, read_rows
from repvit_nas.accuracy.observations import Circumstances
from repvit_nas.architecture import Architecture, Stage, write_architecture
from repvit_nas.errors import FileError
from repvit_nas.search_space.space import known_spaces, load_space

PLANTS = Circumstances(data="plants", recipe="full")
WINNER = {"width": "48-96-192-384", "depth": "2-2-14-2", "top1": "71.5"}


@pytest.fixture
def imported(tmp_path):
    spaces = [load_space(name)[0] for name in known_spaces()]

    def read(rows, name="rows.csv"):
        path = tmp_path / name
        if name.endswith(".csv"):
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_text(json.dumps(rows))
        return observations_of(read_rows(path), path, PLANTS, spaces)

    return read


def test_any_architecture_of_a_space_can_be_a_row(imported):
    whole = {
        **WINNER,
        "se": "10-00-11111110000000-01",
        "expansion": "2-2.5-3-4",
        "kernel": "3-3-5-3",
        "resolution": "256",
        "num_classes": "40",
        "images": "1000",
        "seed": "3",
    }
    (one,) = imported([whole])

    stages = one.architecture.stages
    assert [stage.se for stage in stages] == ["10", "00", "11111110000000", "01"]
    assert [stage.expansion for stage in stages] == [2, 2.5, 3, 4]
    assert [stage.kernel for stage in stages] == [3, 3, 5, 3]
    assert (one.architecture.resolution, one.architecture.num_classes) == (256, 40)
    assert one.origin == "imported"
    assert one.top1_sd == pytest.approx(100 * (0.715 * 0.285 / 1000) ** 0.5, rel=0.01)


def test_a_row_may_name_a_reference_or_an_architecture_file(imported, tmp_path):
    network = Architecture(
        stages=tuple(
            Stage(width=w, depth=d, se="1" * d) for w, d in ((40, 1), (80, 1), (160, 8), (320, 1))
        )
    )
    write_architecture(tmp_path / "mine.json", network)

    named, filed = imported(
        [
            {"network": "repvit_m1_1", "top1": "75"},
            {"file": "mine.json", "top1": "70", "network": "mine"},
        ]
    )
    assert named.architecture.stages[0].width == 64
    assert filed.architecture.stages == network.stages
    assert filed.architecture.name == "mine"


def test_json_holds_whole_architectures(imported):
    stages = [{"width": w, "depth": 2, "se": "11"} for w in (48, 96, 192, 384)]
    stages[2] = {"width": 192, "depth": 8, "se": "10101010"}
    (one,) = imported(
        [{"architecture": {"schema": 1, "stages": stages, "num_classes": 7}, "top1": 60.0}],
        "rows.json",
    )

    assert one.architecture.num_classes == 7


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"top1": "0.715"},
            r"row 1: top1 must be above 1 .*; got 0.715: a fraction\? 0.715 as percent is 71.5",
        ),
        ({"top1": "nan"}, "top1: .*>= 0.0; got 'nan'"),
        ({"top1": "101"}, "top1: .*<= 100.0; got '101'"),
        ({"top1": "71", "loss": "nan"}, "loss: .*>= 0.0; got 'nan'"),
        ({"width": "49-96-192-384"}, "width must be a multiple of 8"),
        ({"width": "480-960-960-960"}, r"is a network of no known space: .*width"),
        ({"width": "48-96-192"}, "width must hold four values such as 48-96-192-384"),
        ({"width": "", "network": "repvit_m9"}, r"got network 'repvit_m9'"),
        ({"top1": "many"}, r"line 2: .*top1"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_impossible_row_is_told_in_one_line(imported, changed, said):
    with pytest.raises(FileError, match=said) as error:
        imported([{**WINNER, **changed}])
    assert "\n" not in str(error.value)


def test_a_file_of_nothing_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("network,top1\n")
    with pytest.raises(FileError, match="holds no accuracies"):
        read_rows(tmp_path / "empty.csv")
    with pytest.raises(FileError, match=r"are read from a \.csv or a \.json file"):
        read_rows(tmp_path / "rows.txt")


def test_a_row_may_say_its_own_recipe(imported):
    own, given = imported([{**WINNER, "recipe": "mine"}, WINNER])

    assert own.circumstances == msgspec.structs.replace(PLANTS, recipe="mine")
    assert given.circumstances == PLANTS
