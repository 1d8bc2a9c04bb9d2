import json
import shutil
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner
from support import ROOT, write_narrow

from repvit_nas import __version__
from repvit_nas.architecture import Architecture, Stage, write_architecture
from repvit_nas.commands import COMMANDS, cli, main
from repvit_nas.commands.options import parse_budgets
from repvit_nas.errors import RepvitNasError
from repvit_nas.named import load_architecture
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family


@pytest.fixture
def invoke(elsewhere, capfd):
    """Run the command line in a folder without data; return exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return run


def test_every_command_has_help_with_an_example():
    for name in COMMANDS:
        done = CliRunner().invoke(cli, [name, "--help"])
        assert done.exit_code == 0
        assert f"Example: repvit-nas {name}" in done.output
        assert "--json" in done.output
        assert "--debug" in done.output


def test_the_version_is_told(invoke):
    code, out, _ = invoke("--version")

    assert (code, out.strip()) == (0, f"repvit-nas, version {__version__}")


def test_predict_says_where_the_number_comes_from(invoke):
    code, out, err = invoke("predict", "repvit_m1_0")

    assert code == 0
    assert "modelled" in out
    assert "90%" in out
    assert err == "predictor: iphone12, modelled, from iphone12 (shipped with repvit-nas)\n"


def test_predict_as_json(invoke):
    code, out, _ = invoke(
        "predict", "repvit_m1_0", "--device", "iphone13", "--json", "--interval", "0.5"
    )
    document = json.loads(out)

    assert code == 0
    assert set(document) >= {"latency_ms", "low_ms", "high_ms", "interval", "device", "source"}
    assert document["device"] == "iphone13"
    assert document["interval"] == 0.5
    assert document["source"] == "modelled"
    assert document["low_ms"] < document["latency_ms"] < document["high_ms"]


def test_predict_of_several_networks_on_several_devices(invoke):
    names, devices = ["repvit_m0_9", "repvit_m1_0"], ["iphone12", "iphone13"]
    words = ["predict", *names, *(word for name in devices for word in ("--device", name))]
    _, alone, _ = invoke("predict", "repvit_m1_0", "--device", "iphone13", "--json")

    code, out, err = invoke(*words, "--json")
    documents = json.loads(out)

    assert code == 0
    assert [(d["architecture"], d["device"]) for d in documents] == [
        (name, device) for name in names for device in devices
    ]
    assert documents[-1] == json.loads(alone)
    assert err.count("predictor: ") == 2  # each copy is named once
    _, table, _ = invoke(*words)
    assert all(f"{d['latency_ms']:.3f}" in table for d in documents)


def test_predict_at_another_resolution(invoke):
    _, small, _ = invoke("predict", "repvit_m1_1", "--json")
    code, out, _ = invoke("predict", "repvit_m1_1", "--resolution", "512")
    _, large, _ = invoke("predict", "repvit_m1_1", "--resolution", "512", "--json")

    assert code == 0
    assert out.startswith("repvit_m1_1 at 512 px on iphone12: ")
    assert json.loads(large)["resolution"] == 512
    assert 2 < json.loads(large)["latency_ms"] / json.loads(small)["latency_ms"] < 512**2 / 224**2


def test_show_of_several_networks_at_another_resolution(invoke):
    code, out, _ = invoke("show", "repvit_m0_9", "repvit_m1_0", "--resolution", "256", "--json")
    first, second = json.loads(out)

    assert code == 0
    assert first["architecture"]["resolution"] == second["architecture"]["resolution"] == 256
    assert first["macs"] > 815_617_344
    assert first["params"] == 5067056


def test_family_on_several_devices(invoke):
    code, out, _ = invoke("family", "--device", "iphone12", "--device", "iphone13", "--json")
    rows = [(row["device"], row["network"]) for row in json.loads(out)]

    assert code == 0
    assert rows == [(device, name) for device in ("iphone12", "iphone13") for name in family()]


def test_show_as_json_adds_up(invoke):
    code, out, _ = invoke("show", "repvit_m0_9", "--json")
    document = json.loads(out)

    assert code == 0
    assert set(document) >= {"rows", "macs", "params", "size_bytes", "accuracy", "accuracy_std"}
    assert document["params"] == 5067056
    assert document["size_bytes"] == 2 * 5067056
    assert sum(row["macs"] for row in document["rows"]) == document["macs"]
    assert sum(row["latency_ms"] for row in document["rows"]) + document[
        "overhead_ms"
    ] == pytest.approx(document["latency_ms"], abs=1e-3)
    assert len(document["rows"]) == 1 + 20 + 3 * 3 + 1


def test_show_says_of_every_unit_where_its_latency_comes_from(invoke):
    _, out, _ = invoke("show", "repvit_m0_9", "--device", "cpu-epyc", "--foreign", "--json")
    document = json.loads(out)
    timed = {
        json.dumps(msgspec.to_builtins(item.unit), sort_keys=True)
        for item in load_predictor("cpu-epyc", foreign=True)[0].measured.units
    }

    for row in document["rows"]:
        known = json.dumps(row["unit"], sort_keys=True) in timed
        assert (row["source"] == "measured") == known
    assert {row["source"] for row in document["rows"]} == {"measured", "interpolated"}
    assert document["source"] == "interpolated"  # the weakest of its units'


def test_show_for_people(invoke):
    code, out, _ = invoke("show", "repvit_m0_9")

    assert code == 0
    assert "48-96-192-384 / 2-2-14-2 / se ½ / x2" in out
    assert "modelled" in out
    assert "estimated" in out


def test_family_as_json(invoke):
    code, out, _ = invoke("family", "--json")
    document = {row["network"]: row for row in json.loads(out)}

    assert code == 0
    assert list(document) == list(family())
    assert document["repvit_m0_9"]["published_ms"] == 0.87
    assert document["repvit_m0_9"]["published_top1"] == 78.74
    assert abs(document["repvit_m2_3"]["latency_error"]) < 0.05
    assert document["repvit_m0_6"]["published_top1"] is None


def test_family_for_people(invoke):
    code, out, _ = invoke("family", "--device", "iphone13")

    assert code == 0
    assert "RepViT-M1.5" in out
    assert "modelled" in out


def test_devices(invoke):
    code, out, _ = invoke("devices", "--json")
    document = {row["device"]: row for row in json.loads(out)}

    assert code == 0
    assert document["iphone12"]["kind"] == "modelled"
    assert document["iphone12"]["left_out_percent"] <= 6.0
    assert 85 <= document["iphone12"]["coverage_percent"] <= 100
    code, out, _ = invoke("devices")
    assert code == 0
    assert "iPhone 12 (A14)" in out


def test_fit_writes_what_predict_uses(invoke, elsewhere):
    code, out, err = invoke("fit", "--device", "iphone13", "--json")

    assert code == 0
    assert json.loads(out)["device"] == "iphone13"
    assert "predictors/iphone13" in err
    assert (elsewhere / "predictors" / "iphone13" / "validation.png").is_file()
    code, out, _ = invoke("predict", "repvit_m1_0", "--device", "iphone13")
    assert code == 0


def test_search_as_json_is_one_document(invoke, elsewhere):
    code, out, err = invoke(
        "search", "--budget-ms", "0.9", "--trials", "60", "--space", "coarse", "--json"
    )
    document = json.loads(out)

    assert code == 0
    assert set(document) >= {"front", "best", "exact_share", "evaluations", "seconds"}
    entry = document["front"][0]
    assert set(entry) >= {
        "architecture",
        "latency_ms",
        "low_ms",
        "high_ms",
        "accuracy",
        "accuracy_std",
        "params",
        "macs",
        "source",
    }
    assert document["best"] in document["front"]
    assert document["exact_share"] >= 0.999
    assert (elsewhere / "results" / "iphone12-0.9ms-coarse" / "run.json").is_file()
    assert "shipped" in err


def test_search_for_people_shows_the_front_beside_the_family(invoke, elsewhere):
    code, out, _ = invoke("search", "--budget-ms", "1.0", "--trials", "60")

    assert code == 0
    assert "Within 1 ms on iphone12 (modelled)" in out
    assert "RepViT-M2.3" in out
    assert 'repvit_nas.load("results/iphone12-1.0ms:best")' in out


def test_a_run_can_be_repeated_from_what_it_noted(invoke, elsewhere):
    invoke(
        "search",
        "--budget-ms",
        "0.8",
        "--trials",
        "60",
        "--seed",
        "7",
        "--risk",
        "0.5",
        "--max-params-m",
        "5",
        "--out",
        "first run",
    )
    command = json.loads((elsewhere / "first run" / "run.json").read_text())["command"]
    before = (elsewhere / "first run" / "front.json").read_bytes()

    done = subprocess.run(
        command.replace("repvit-nas", f"{sys.executable} -m repvit_nas").replace(
            "first run", "second run"
        ),
        shell=True,
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (elsewhere / "second run" / "front.json").read_bytes() == before


def test_an_impossible_budget_exits_2_and_names_the_nearest(invoke, elsewhere):
    code, out, err = invoke("search", "--budget-ms", "0.3", "--trials", "60")

    assert code == 2
    assert out == ""
    assert "0.5181 ms on iphone12 (0.481-0.555; modelled), 0.218 (73%) over the 0.3 allowed" in err
    assert "32-64-128-256 / 1-1-6-1" in err
    assert not (elsewhere / "results").exists() or not any((elsewhere / "results").iterdir())
    code, out, _ = invoke("search", "--budget-ms", "0.3", "--trials", "60", "--json")
    document = json.loads(out)
    assert code == 2
    assert document["best"] is None
    assert document["front"][0]["feasible"] is False


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        ("1.0", {"iphone12": 1.0}),
        ("iphone13=0.5", {"iphone13": 0.5}),
        ("iphone12=1.0,iphone13=0.9", {"iphone12": 1.0, "iphone13": 0.9}),
        ("1.0,iphone13=0.9", {"iphone12": 1.0, "iphone13": 0.9}),
    ],
)
def test_budgets_are_read(text, budgets):
    assert parse_budgets(text, "iphone12") == budgets


@pytest.mark.parametrize(
    "text", ["0", "-1", "nan", "inf", "-inf", "word", "", "a=", "=", "1,2", "a=1,a=2", "1;2"]
)
def test_absurd_budgets_are_refused(text):
    with pytest.raises(RepvitNasError):
        parse_budgets(text, "iphone12")


@pytest.fixture
def outside(elsewhere):
    stages = tuple(Stage(width=w, depth=1, se="0") for w in (8, 16, 24, 32))
    write_architecture(elsewhere / "outside.json", Architecture(stages=stages))
    (elsewhere / "broken.json").write_text('{"schema": 1, "stages": [')
    (elsewhere / "old.json").write_text('{"schema": 0}')
    (elsewhere / "space.toml").write_text("schema = 1\nname = 'x'\n")
    return elsewhere


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], ["--budget-ms", "repvit-nas search --help"]),
        (["search", "--budget-ms", "0"], ["above 0", "'0'"]),
        (["search", "--budget-ms", "fast"], ["above 0", "'fast'"]),
        (["search", "--budget-ms", "1", "--device", "nokia"], ["nokia", "iphone12"]),
        (["search", "--budget-ms", "1", "--space", "huge"], ["huge", "coarse"]),
        (["search", "--budget-ms", "1", "--space", "space.toml"], ["space.toml", "stages"]),
        (["search", "--budget-ms", "1", "--space", "none.toml"], ["none.toml", "cannot be read"]),
        (["search", "--budget-ms", "1", "--sampler", "magic"], ["magic", "nsga2, tpe, gp, random"]),
        (["search", "--budget-ms", "1", "--trials", "many"], ["--trials", "many"]),
        (["search", "--budget-ms", "1", "--trials", "-5"], ["trials", "-5"]),
        (["search", "--budget-ms", "1", "--timeout", "nan"], ["--timeout", "nan"]),
        (["search", "--budget-ms", "1", "--confidence", "2"], ["confidence", "2"]),
        (["search", "--budget-ms", "1", "--resolution", "64"], ["160 to 1024", "64"]),
        (["search", "--budget-ms", "1", "--storage", "nonsense"], ["nonsense", "cannot be opened"]),
        (["search", "--budget-ms", "1", "--out", "broken.json"], ["broken.json", "is a file"]),
        (["search", "--budget-ms", "1", "--resume"], ["no run to resume"]),
        (["predict"], ["ARCH", "repvit-nas predict --help"]),
        (["predict", "nothing"], ["'nothing' is no network", "repvit_m0_9"]),
        (["predict", "broken.json"], ["broken.json", "no valid JSON"]),
        (["predict", "old.json"], ["old.json", "`schema` must be 1", "got 0"]),
        (["predict", "outside.json"], ["stages[0].width", "got 8", "32 to 80", "--space"]),
        (["predict", "repvit_m0_9", "--device", "nokia"], ["nokia", "iphone12"]),
        (["predict", "repvit_m0_9", "--resolution", "8"], ["resolution", "got 8"]),
        (["predict", "repvit_m0_9", "nothing"], ["'nothing' is no network"]),
        (["predict", "repvit_m0_9", "--interval", "1.5"], ["above 0 and at most 0.9999", "1.5"]),
        (["show", "results/none:best"], ["none"]),
        (["fit", "--device", "nokia"], ["nokia"]),
        (["family", "--device", ""], ["device ''"]),
        (["search", "--budget-ms", "1", "--out", ""], ["--out must name a folder", "''"]),
        (["search", "--budget-ms", "1", "--out", "a" * 300], ["File name too long"]),
        (["show", "a" * 300], ["File name too long"]),
        (["search", "--budget-ms", "1", "--space", ""], ["space ''", "coarse, repvit"]),
        (["fly"], ["fly", "repvit-nas --help"]),
        (["search", "--fly"], ["--fly"]),
    ],
)
def test_nonsense_ends_in_one_clear_line(invoke, outside, arguments, words):
    code, out, err = invoke(*arguments)

    assert code in (1, 2)
    assert out == ""
    assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert not (outside / "results").exists()


def test_without_a_command_the_help_is_shown(invoke):
    asked = invoke("--help")

    assert asked[1].startswith("Usage: repvit-nas")
    assert asked[1].count("\n") > 10
    assert invoke() == invoke("--debug") == asked


def test_a_closed_stdout_is_no_error(elsewhere):
    for command in ("family", "search --budget-ms 1.0 --trials 50"):
        done = subprocess.run(
            f"{sys.executable} -m repvit_nas {command} >&-",
            shell=True,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_a_name_with_markup_is_shown_as_it_is(invoke, elsewhere):
    write_architecture(
        elsewhere / "mine.json",
        msgspec.structs.replace(family()["repvit_m0_9"].architecture, name="[red]mine[/red]"),
    )

    code, out, _ = invoke("show", "mine.json")

    assert code == 0
    assert "[red]mine[/red]" in out


def test_debug_shows_the_traceback(invoke):
    for arguments in (["--debug", "predict", "nothing"], ["predict", "nothing", "--debug"]):
        code, _, err = invoke(*arguments)
        assert code == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("error:")


def test_shell_completion_is_there():
    done = subprocess.run(
        [sys.executable, "-m", "repvit_nas"],
        env={"_REPVIT_NAS_COMPLETE": "bash_source", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert "complete -o nosort" in done.stdout


def test_a_network_outside_is_taken_with_a_wider_space(invoke, outside):
    import tomllib

    from support import ROOT

    text = (ROOT / "search_space" / "repvit.toml").read_text()
    for low, wide in ((32, 80), (64, 160), (128, 320), (256, 640)):
        text = text.replace(f"min = {low}, max = {wide}", f"min = 8, max = {wide}")
    text = text.replace("min = 6, max = 36", "min = 1, max = 36")
    assert tomllib.loads(text)
    (outside / "wide.toml").write_text(text)

    code, out, _ = invoke("predict", "outside.json", "--space", "wide.toml", "--json")

    assert code == 0
    assert json.loads(out)["latency_ms"] > 0


@pytest.mark.parametrize(
    "command", [["predict", "repvit_m0_9"], ["show", "repvit_m0_9"], ["family"]]
)
def test_the_copy_of_the_predictor_is_named(invoke, elsewhere, command):
    def named():
        _, out, err = invoke(*command, "--json")
        document = json.loads(out)
        return err, (document[0] if command == ["family"] else document)["predictor"]

    shipped = "iphone12 (shipped with repvit-nas)"
    assert named() == (f"predictor: iphone12, modelled, from {shipped}\n", shipped)

    shutil.copytree(ROOT / "predictors" / "iphone12", elsewhere / "predictors" / "iphone12")

    own = "predictors/iphone12"
    assert named() == (f"predictor: iphone12, modelled, from {own}\n", own)


def test_search_names_everything_it_read(invoke, elsewhere):
    space = write_narrow(elsewhere)
    _, out, err = invoke(
        "search", "--budget-ms", "0.9", "--trials", "50", "--space", space, "--json"
    )

    table = "published_accuracy.csv (shipped with repvit-nas)"
    assert f"accuracy: family, from {table}" in err
    assert json.loads(out)["from"] == {
        "space": space,
        "predictors": {"iphone12": "iphone12 (shipped with repvit-nas)"},
        "accuracy": table,
    }


def test_the_family_at_another_resolution_is_compared_with_nothing_of_224_px(invoke):
    code, out, _ = invoke("family", "--resolution", "512", "--json")
    rows = {row["network"]: row for row in json.loads(out)}

    assert code == 0
    network = msgspec.structs.replace(family()["repvit_m1_1"].architecture, resolution=512)
    expected = load_predictor("iphone12")[0].estimate(network).latency_ms
    assert rows["repvit_m1_1"]["latency_ms"] == pytest.approx(expected)
    assert rows["repvit_m1_1"]["resolution"] == 512
    assert {row["published_ms"] for row in rows.values()} == {None}
    assert {row["accuracy_error"] for row in rows.values()} == {None}
    assert "at 512 px, of which nothing is published" in invoke("family", "--resolution", "512")[1]


def test_a_winner_of_a_wider_space_is_predicted_without_naming_it(invoke, elsewhere):
    asked = ("search", "--budget-ms", "0.57", "--trials", "50", "--space", write_narrow(elsewhere))
    assert invoke(*asked, "--out", "run")[0] == 0
    best = load_architecture("run:best")
    assert best.stages[0].width == 24  # less than the space repvit has

    for command in ("predict", "show"):
        assert invoke(command, "run:best")[0] == 0


def test_a_sampler_that_would_take_days_says_so(invoke, elsewhere):
    asked = ("search", "--budget-ms", "0.9", "--space", write_narrow(elsewhere), "--sampler", "gp")

    _, _, long = invoke(*asked, "--timeout", "0.01")
    _, _, short = invoke(*asked, "--trials", "5", "--out", "short")

    assert "2,000 trials may take days" in long
    assert "--trials 100" in long
    assert "may take" not in short
