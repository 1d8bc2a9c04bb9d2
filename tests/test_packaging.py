"""The wheel, installed into an environment of its own, far from the checkout."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of what version control would hand out."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        check=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_the_four_folders(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    for file in (
        "search_space/repvit.toml",
        "search_space/published_accuracy.csv",
        "search_space/accuracy_evidence.csv.gz",
        "latency_lut/iphone12/published.csv",
        "latency_lut/networks.jsonl",
        "predictors/iphone12/predictor.json",
        "results/iphone12-1.0ms/front.json",
    ):
        assert f"repvit_nas/_shipped/{file}" in names
    assert "repvit_nas/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests") or "journal" in name]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with nothing but this wheel and its dependencies.

    The dependencies are those of the running environment, seen through a path file: downloading six
    gigabytes again would test the network, not the wheel.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel],
        check=True,
    )
    here = next(path for path in map(Path, sys.path) if (path / "msgspec").is_dir())
    # Behind our own site-packages, and without the checkout's editable install.
    (site / "dependencies.py").write_text(f"import sys\nsys.path.append({str(here)!r})\n")
    (site / "dependencies.pth").write_text("import dependencies\n")
    return folder / "bin" / "python"


def run(python, folder, *arguments):
    return subprocess.run(
        [python, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


def test_the_installed_search_runs_from_its_shipped_copies(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import repvit_nas; print(repvit_nas.__file__)")
    assert str(ROOT) not in where.stdout
    assert where.returncode == 0, where.stderr

    done = run(
        installed,
        tmp_path,
        "-m",
        "repvit_nas",
        "search",
        "--budget-ms",
        "1.0",
        "--trials",
        "100",
        "--json",
    )

    assert done.returncode == 0, done.stderr
    assert "shipped with repvit-nas" in done.stderr
    document = json.loads(done.stdout)
    assert document["best"]["latency_ms"] <= 1.0
    code = (
        "import repvit_nas, torch\n"
        "model = repvit_nas.load('results/iphone12-1.0ms:best')\n"
        "print(tuple(model(torch.zeros(1, 3, 224, 224)).shape))"
    )
    assert run(installed, tmp_path, "-W", "ignore", "-c", code).stdout.strip() == "(1, 1000)"


def test_shipped_winners_load_without_a_search(installed, tmp_path):
    done = run(installed, tmp_path, "-m", "repvit_nas", "show", "results/iphone12-1.0ms:best")

    assert done.returncode == 0, done.stderr
    assert "modelled" in done.stdout
