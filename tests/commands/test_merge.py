import json


def test_searches_of_two_machines_become_one_run(invoke, elsewhere):
    """The same line on both, but for the seed; and the merged run is one like any."""
    for seed in ("0", "1"):
        code, _, err = invoke(
            "search",
            *("--budget-ms", "1", "--space", "coarse", "--trials", "20", "--seed", seed),
            *("--storage", "journal:///study.log", "--study-name", seed, "--resume", "auto"),
        )
        assert code == 0, err
    runs = sorted(str(path) for path in (elsewhere / "results").iterdir())

    code, out, err = invoke("merge", *runs, "--out", "merged", "--json")

    document = json.loads(out)
    assert code == 0, err
    assert document["trials"] == 40
    assert document["kept of"].keys() == set(runs)
    assert invoke("predict", "merged:best", "--json")[0] == 0
    code, out, err = invoke("merge", *runs, "--out", "again")
    assert code == 0, err
    assert "Within 1 ms on iphone12" in out.splitlines()[0]
    assert "Grid(" not in out
    assert f"{len(document['front'])} networks on the front, in again" in out


def test_one_run_is_nothing_to_merge(invoke):
    code, out, err = invoke("merge", "one", "one")

    assert (code, out) == (1, "")
    assert err == "error: merge takes two runs or more, each once\n"
