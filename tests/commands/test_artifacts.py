"""--artifacts and --keep-checkpoints: sizes are said before, and what makes no sense is a line."""

import pytest

CAMPAIGN = (
    "measure-accuracy", "--name", "toys", "--data", "shapes", "--train-images", "48", "--val-images", "24",
    "--device", "cpu-epyc", "--foreign", "--space", "cifar", "--budget-ms", "0.15", "--epochs", "1",
    "--set", "batch=16", "--networks", "2", "--held-out", "0", "--threads", "1", "--anyway",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--artifacts", "kept"), "--artifacts needs --storage"),
        (
            ("--keep-checkpoints", "--storage", "sqlite:///s.db"),
            "--keep-checkpoints needs --artifacts",
        ),
        (("--artifacts", "ftp://x", "--storage", "sqlite:///s.db"), "s3://BUCKET or gs://BUCKET"),
    ],
)
def test_what_cannot_be_kept_is_one_line(invoke, words, said):
    code, out, err = invoke(*CAMPAIGN, *words)

    assert code == 1
    assert not out
    assert said in err.splitlines()[-1]


def test_weights_are_in_the_store_and_their_size_was_said(invoke, elsewhere):
    code, _, err = invoke(*CAMPAIGN, "--storage", "sqlite:///s.db", "--artifacts", "kept")

    assert code == 0, err
    assert "artifacts: about " in err
    sizes = sorted(path.stat().st_size for path in (elsewhere / "kept").iterdir())
    trained = sorted((elsewhere / "results" / "accuracy-toys").rglob("model.safetensors"))
    assert len(sizes) == 2 * 5
    assert {path.stat().st_size for path in trained} <= set(sizes)
