"""What is written stays true: help, README and changelog against the code."""

import re
import subprocess
import sys

import pytest
from support import ROOT

from repvit_nas import __all__, __version__
from repvit_nas.commands import COMMANDS
from repvit_nas.conversion.converter import REQUIRED


def test_written_documents_are_what_the_code_says():
    """Tables of the README and the command reference; `python tools/write_docs.py` mends them."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "write_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    readme = (ROOT / "README.md").read_text()

    assert re.search(rf"\| `{command}[ `]", readme), "name it in the README's table of commands"


def test_everything_public_is_there_and_has_a_docstring():
    import repvit_nas

    for name in __all__:
        value = getattr(repvit_nas, name)
        assert name == "__version__" or value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        repvit_nas.nothing  # noqa: B018


def test_one_version_everywhere():
    text = (ROOT / "pyproject.toml").read_text()

    assert f'version = "{__version__}"' in text
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_doctor_wants_the_coremltools_that_pip_is_asked_for():
    assert f'"{REQUIRED}"' in (ROOT / "pyproject.toml").read_text()


def anchors(page):
    """Return the anchors that Markdown makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere():
    pages = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
    for page in pages:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text()):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_the_first_lines_of_the_readme_are_what_make_knows():
    makefile = (ROOT / "Makefile").read_text()

    for target in ("search", "test", "bench"):
        assert f"make {target}" in (ROOT / "README.md").read_text()
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
