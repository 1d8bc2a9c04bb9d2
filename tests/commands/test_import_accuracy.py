"""`import-accuracy`: accuracies from elsewhere make an estimator."""

import csv


def test_accuracies_from_elsewhere_make_an_estimator(invoke, elsewhere):
    rows = [
        {"width": "48-96-192-384", "depth": f"2-2-{depth}-2", "top1": 60 + depth / 2, "seed": 0}
        for depth in (8, 10, 12, 14)
    ]
    with (elsewhere / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    code, out, err = invoke("import-accuracy", "rows.csv", "--name", "plants", "--recipe", "ours")
    assert code == 0, err
    assert "4 observations added to predictors/accuracy/plants" in out
    code, out, _ = invoke("import-accuracy", "rows.csv", "--name", "plants")
    assert "0 observations added" in out
    assert "(4 were there already)" in out

    code, _, err = invoke("import-accuracy", "rows.csv", "--name", "plants", "--recipe", "other")
    assert code == 1
    assert "recipe 'ours' -> 'other'" in err
    code, out, _ = invoke("predict", "repvit_m0_9", "--accuracy", "plants")
    assert "top-1 in % on plants at 224 px after recipe ours, estimated from 4 networks" in out

    code, _, err = invoke("validate", "--accuracy", "plants")
    assert code == 1
    assert "too few held-out networks" in err
