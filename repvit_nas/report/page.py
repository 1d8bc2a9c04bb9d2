"""One self-contained page that shows panels: no network, no file beside it."""

import functools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec

from repvit_nas.errors import RepvitNasError
from repvit_nas.report.panels import FrontPanel, Panel


def page(panels: Sequence[Panel]) -> bytes:
    """Return the page as HTML.

    Texts of the panels are data: they stand in a block of JSON in which no tag can end, and the page
    puts them into the document as text only.

    Args:
        panels: What to show, at least one.

    Raises:
        RepvitNasError: There is nothing to show, or fronts do not compare.
    """
    if not panels:
        raise RepvitNasError("a report needs a run to show; got none")
    _check_comparable([panel for panel in panels if isinstance(panel, FrontPanel)])
    # "<" ends no block when it is written as JSON's own escape; nor do the separators of JavaScript.
    document = msgspec.json.encode(list(panels)).decode().replace("<", "\\u003c")
    document = document.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    text = _asset("page.html")
    for mark, content in (
        ("/*css*/", _asset("page.css")),
        ("/*plotly*/", _plotly()),
        ("/*data*/", document),
        ("/*js*/", _asset("page.js")),
    ):
        before, found, after = text.partition(mark)
        assert found, mark  # noqa: S101  # our own template
        text = before + content + after
    return text.encode()


def _check_comparable(fronts: Sequence[FrontPanel]) -> None:
    for other in fronts[1:]:
        for what, one, two in (
            ("accuracy", fronts[0].accuracy_meaning, other.accuracy_meaning),
            ("resolution", f"{fronts[0].resolution} px", f"{other.resolution} px"),
            ("classes", str(fronts[0].num_classes), str(other.num_classes)),
        ):
            if one != two:
                raise RepvitNasError(
                    f"{fronts[0].name} and {other.name} do not compare: their {what} differ, {one} and "
                    f"{two}; make a report of each"
                )


def _asset(name: str) -> str:
    return (resources.files("repvit_nas.report") / "assets" / name).read_text(encoding="utf-8")


@functools.cache
def _plotly() -> str:
    """Return plotly's own bundle."""
    try:
        import plotly
    except ImportError as error:
        raise RepvitNasError("a report needs plotly: pip install 'repvit-nas[report]'") from error
    bundle = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return bundle.read_text(encoding="utf-8").replace("</script", "<\\/script")
