"""`search`: from a budget to a front."""

import json
import subprocess
import sys

from support import write_narrow


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


def test_a_sampler_that_would_take_days_says_so(invoke, elsewhere):
    asked = ("search", "--budget-ms", "0.9", "--space", write_narrow(elsewhere), "--sampler", "gp")

    _, _, long = invoke(*asked, "--timeout", "0.01")
    _, _, short = invoke(*asked, "--trials", "5", "--out", "short")

    assert "2,000 trials may take days" in long
    assert "--trials 100" in long
    assert "may take" not in short


def test_backbones_are_searched_beside_the_family_and_what_was_published_of_it(invoke, elsewhere):
    code, out, _ = invoke(
        "search",
        "--output",
        "features",
        "--resolution",
        "512",
        "--budget-ms",
        "5",
        "--trials",
        "60",
    )

    assert code == 0
    assert "at 512 px as backbones" in out
    assert "at 224 px: a stand-in for features" in " ".join(out.split())
    assert "published, never measured here" in out
    assert "39.8" in out  # AP box of M1.1, Table 5 of the paper
    best = elsewhere / "results" / "iphone12-5.0ms-features-512px" / "winners" / "best.json"
    assert json.loads(best.read_text())["output"] == "features"


def test_encoders_are_searched_at_1024_px_beside_repvit_sam(invoke, elsewhere):
    code, out, _ = invoke("search", "--output", "sam", "--budget-ms", "30", "--trials", "60")

    assert code == 0
    assert "at 1024 px as sam encoders" in out
    assert "MobileSAM 42.7 AP" in out
    best = elsewhere / "results" / "iphone12-30.0ms-sam" / "winners" / "best.json"
    found = json.loads(best.read_text())
    assert (found["output"], found["resolution"]) == ("sam", 1024)


def test_a_budget_in_reach_of_no_encoder_is_said_in_a_line(invoke, elsewhere):
    code, _, err = invoke("search", "--output", "sam", "--budget-ms", "1", "--trials", "20")

    assert code == 2
    assert "no network of space 'repvit' keeps what was asked; the nearest" in err
