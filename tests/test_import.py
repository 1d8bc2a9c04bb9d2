"""What is imported when: start-up is part of the product."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "optuna", "pandas", "sklearn", "scipy", "coremltools", "matplotlib")


def loaded_after(code, *heavy):
    """Return which heavy libraries a fresh interpreter has imported after `code`."""
    script = f"import sys\n{code}\nprint(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "code",
    [
        "import repvit_nas",
        "from repvit_nas.commands import _run; _run(['--help'], debug=False)",
        "from repvit_nas.commands import _run; _run(['search', '--help'], debug=False)",
        "from repvit_nas.commands import _run; _run(['--version'], debug=False)",
    ],
)
def test_import_and_help_import_nothing_heavy(code):
    assert loaded_after(code, *HEAVY, "numpy") == []


def test_the_list_of_commands_imports_none_of_them():
    code = "from repvit_nas.commands import _run; _run(['--help'], debug=False)"
    rooms = [f"repvit_nas.{room}" for room in ("commands.options", "commands.predict", "files")]

    assert loaded_after(code, *rooms, "filelock") == []


def test_a_prediction_imports_no_more_than_it_needs():
    """Neither what fits and measures, nor what says how accurate networks are, searches or trains."""
    code = (
        "from repvit_nas.commands import _run\n"
        "assert _run(['predict', 'repvit_m0_9'], debug=True) == 0"
    )
    rooms = (
        *("accuracy.trained", "accuracy.family", "latency_lut.published", "latency_lut.table"),
        *("measuring", "predictors.assumptions", "predictors.ensemble", "report.tables"),
        *("searching.inputs", "searching.study", "training", "folders"),
    )
    libraries = ("filelock", "rich", "numpy.random", "statistics", "html", "difflib")

    assert loaded_after(code, *(f"repvit_nas.{room}" for room in rooms), *libraries) == []


def test_a_search_imports_no_torch(tmp_path):
    code = (
        "from repvit_nas.commands import _run\n"
        f"code = _run(['search', '--budget-ms', '1.0', '--trials', '60', '--out', r'{tmp_path}/run'],"
        " debug=True)\nassert code == 0"
    )

    assert loaded_after(code, "torch", "timm", "coremltools", "sklearn", "pandas") == []


def test_timm_knows_the_model_whichever_is_imported_first():
    for first, second in (("timm", "repvit_nas"), ("repvit_nas", "timm")):
        code = f"import {first}, {second}, timm; assert timm.is_model('repvit_nas')"

        assert "repvit_nas.network" not in loaded_after(code, "repvit_nas.network")


def test_a_prediction_from_python_loads_nothing_heavy():
    code = "import repvit_nas; repvit_nas.predict('repvit_m0_9')"

    assert loaded_after(code, *HEAVY) == []


def test_functions_keep_their_names_whatever_is_imported():
    """A sub-package of a function's name would take its place once anything imported it."""
    code = (
        "import pkgutil, repvit_nas\n"
        "files = {each.name for each in pkgutil.iter_modules(repvit_nas.__path__)}\n"
        "assert not files & set(repvit_nas.__all__), files & set(repvit_nas.__all__)\n"
        "import repvit_nas.searching.run, repvit_nas.api.search\n"
        "assert callable(repvit_nas.search)"
    )

    assert loaded_after(code, "torch") == []
