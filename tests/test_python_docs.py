"""What docs/python.md, the tutorial and the site say of Python is run, or read by the builder."""

import re
import subprocess
import sys

import pytest
from support import ROOT

import repvit_nas
from repvit_nas import __all__

PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_the_examples_of_the_page_run_one_after_the_other(elsewhere):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))

    exec(compile(code, str(PAGE), "exec"), {})


@pytest.mark.parametrize(
    "name", [name for name in __all__ if callable(getattr(repvit_nas, name)) and name.islower()]
)
def test_every_public_function_has_an_example(name):
    pages = PAGE.read_text() + (ROOT / "docs" / "downstream.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", pages, re.DOTALL)

    assert any(f"repvit_nas.{name}(" in example for example in examples)


@pytest.mark.parametrize("name", ["search", "predict", "estimate", "compare", "describe", "read"])
def test_every_public_function_says_what_it_takes_and_raises(name):
    text = getattr(repvit_nas, name).__doc__

    assert "Args:" in text
    assert "Raises:" in text


@pytest.mark.slow
def test_the_tutorial_runs_and_draws(elsewhere):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": elsewhere}}).execute()

    shown = {
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert {"text/html", "image/png"} <= shown


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "reference" / "index.html").read_text()
    assert all(f'id="repvit_nas.{name}"' in reference for name in ("search", "predict", "compare"))
