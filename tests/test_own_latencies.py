"""A CSV of latencies from anywhere goes into a device by one command."""

import json
import resource

import msgspec
import pytest
from click.testing import CliRunner

from repvit_nas.architecture import write_architecture
from repvit_nas.commands import cli
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.own import OWN_FILE, read_own
from repvit_nas.predictors.overview import overview
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family

HEADER = "architecture,latency_ms,tool"


@pytest.fixture
def bring(elsewhere):
    """Import lines as a person would, and return what came of it."""

    def run(*lines, header=HEADER, device="pixel8", like="iphone12", more=()):
        (elsewhere / "rows.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        liked = ("--like", like) if like else ()
        words = ["import-latencies", "rows.csv", "--device", device, *liked, *more]
        return CliRunner().invoke(cli, words)

    return run


def test_a_new_device_needs_one_line_and_no_assumptions(bring, elsewhere):
    done = bring("repvit_m1_0,9.8,tflite", more=("--title", "Pixel 8"))

    assert done.exit_code == 0, done.output
    predictor, found = load_predictor("pixel8")
    assert predictor.estimate(family()["repvit_m1_0"].architecture).latency_ms == pytest.approx(
        9.8, rel=0.1
    )
    assert not (elsewhere / "predictors" / "pixel8" / "assumptions.json").exists()
    assert str(found) == "predictors/pixel8"
    assert {item.device: item.title for item in overview()}["pixel8"] == "Pixel 8"


def test_rows_are_added_and_nothing_is_replaced(bring):
    bring("repvit_m1_0,9.8,tflite")
    done = bring("repvit_m0_9,8.1,tflite", "repvit_m1_5,19,tflite", like="")
    again = bring("repvit_m1_0,9.9,tflite", like="")

    assert done.exit_code == 0, done.output
    assert "each network left out in turn" in done.output
    assert "line 2: repvit_m1_0 at 224 px by tflite is in latencies.json already" in str(
        again.exception
    )
    rows = read_own(load_device("pixel8").path(OWN_FILE))
    assert [row.latency_ms for row in rows] == [9.8, 8.1, 19.0]


def test_rows_whose_fit_cannot_be_written_are_not_there_either(bring, elsewhere):
    """A limit on the size of files stands in for a disk that is full before the picture is written."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        done = bring("repvit_m1_0,9.8,tflite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert "cannot be written: File too large" in str(done.exception)
    assert [path.name for path in elsewhere.rglob("*") if path.is_file()] == ["rows.csv"]
    assert bring("repvit_m1_0,9.8,tflite").exit_code == 0


def test_an_architecture_is_a_file_beside_the_csv_a_row_of_json_or_a_name(bring, elsewhere):
    mine = msgspec.structs.replace(family()["repvit_m1_0"].architecture, name="mine")
    write_architecture(elsewhere / "mine.json", mine)
    row = msgspec.json.encode(msgspec.structs.replace(mine, name="row", resolution=256)).decode()
    quoted = '"' + row.replace('"', '""') + '"'
    done = bring(
        "mine.json,9.8,tflite,0.1,,",
        f"{quoted},12.5,tflite,,,by hand",
        "repvit_m1_1,14,tflite,,192,",
        header="\ufeff" + HEADER + ",error_ms,resolution,note",  # as spreadsheets write it
    )

    assert done.exit_code == 0, done.output
    (elsewhere / "mine.json").unlink()  # the networks themselves are kept
    rows = read_own(load_device("pixel8").path(OWN_FILE))
    assert [row.architecture.resolution for row in rows] == [224, 256, 192]
    assert [row.error_ms for row in rows] == [0.1, pytest.approx(0.375), pytest.approx(0.42)]


def test_a_shipped_device_takes_rows_beside_what_was_published(bring, elsewhere):
    def fitted_on():
        return next(item.observations for item in overview() if item.device == "iphone12")

    before = fitted_on()
    done = bring("repvit_m1_5,1.7,my-app", "repvit_m1_1,1.2,my-app", device="iphone12", like="")

    assert done.exit_code == 0, done.output
    assert fitted_on() == before + 2
    shipped = load_device("iphone13").folder.path.parent / "iphone12"
    for path in shipped.iterdir():
        assert (elsewhere / "latency_lut" / "iphone12" / path.name).is_file()


def test_the_validation_is_read_again_as_it_was_printed(bring):
    printed = bring("repvit_m1_0,9.8,tflite", "repvit_m0_9,8.1,tflite", more=("--json",))
    document = json.loads(printed.stdout)

    assert document["kind"] == "leave_one_out"
    assert [item.left_out_percent for item in overview() if item.device == "pixel8"] == [
        document["error_percent"]
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("repvit_m1_0,9800,t", "as if they were in microseconds"),
        ("repvit_m1_0,0.0098,t", "as if they were in seconds"),
        ("repvit_m1_0,nan,t", "line 2: latency_ms"),
        ("repvit_m1_0,inf,t", "line 2: latency_ms: Expected `float` <= 1000000000.0; got 'inf'"),
        ("repvit_m1_0,-1,t", "line 2: latency_ms"),
        ("repvit_m1_0,9.8,t\nrepvit_m0_9,8100,t\nrepvit_m1_1,12,t", "got repvit_m0_9 "),
        ("no_such_net,9.8,t", "line 2: 'no_such_net' is no network"),
        ("no_such.json,9.8,t", "line 2: no_such.json: cannot be read"),
        ('"{""schema"":1}",9.8,t', "missing required field `stages`"),
        ('"{broken",9.8,t', "line 2: architecture: is no valid JSON"),
        ("repvit_m1_0,9.8,t\nrepvit_m1_0,9.9,t", "line 3: repvit_m1_0 at 224 px by t is in line 2"),
        ("repvit_m1_0,9.8,", "line 2: Object missing required field `tool`"),
        ("", "holds no latency"),
    ],
)
def test_nonsense_is_refused_in_one_line_and_leaves_nothing(bring, elsewhere, line, words):
    done = bring(line)

    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["rows.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"like": ""}, "device 'pixel8' is not known; for a new one give --like"),
        ({"like": "nokia"}, "device 'nokia' is not known"),
        ({"device": "Pixel 8"}, "a device's name is made of small letters"),
        (
            {"device": "iphone13", "like": "iphone12"},
            "device 'iphone13' is there, and is like none",
        ),
    ],
)
def test_a_device_that_cannot_be_is_refused(bring, options, words):
    assert words in str(bring("repvit_m1_0,9.8,t", **options).exception)


def test_latencies_far_from_what_a_known_device_takes_can_be_insisted_on(bring):
    refused = bring("repvit_m1_0,9.8,t", device="iphone12", like="")

    assert "must be within a factor of 4" in str(refused.exception)
    bring("repvit_m1_0,9.8,tflite")
    taken = bring("repvit_m0_9,90,tflite", like="", more=("--unlike-predicted",))
    assert taken.exit_code == 0, taken.output
