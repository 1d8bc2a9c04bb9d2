"""The interactive page: its records and, in a real Chromium, what it does."""

import json
import re
import shutil

import msgspec
import pytest

from repvit_nas import data, files
from repvit_nas.architecture import Stage
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.breakdown import breakdown
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.page import page
from repvit_nas.report.panels import front_panel
from repvit_nas.search_space.peers import peers
from repvit_nas.searching.records import FRONT_FILE, Result, read_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = '<script>window.evil = 1</script><img src=x onerror="window.evil = 1">'


@pytest.fixture(scope="module")
def shipped():
    return data.find("results", "iphone12-1.0ms", "run").path


@pytest.fixture(scope="module")
def panel(shipped):
    """The shipped run, its best network named by somebody who means no good."""
    result = files.read_json(shipped / FRONT_FILE, Result)
    named = msgspec.structs.replace(result.best.architecture, name=EVIL)
    best = msgspec.structs.replace(result.best, architecture=named)
    front = tuple(
        best if entry.architecture == result.best.architecture else entry for entry in result.front
    )
    result = msgspec.structs.replace(result, front=front, best=best)
    predictor, _ = load_predictor("iphone12")
    return front_panel(
        "results/iphone12-1.0ms",
        result,
        read_run(shipped),
        costs={"iphone12": breakdown([entry.architecture for entry in front], predictor)},
        family={},
        peers=peers(),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 256}, "resolution differ, 224 px and 256 px"),
        ({"accuracy_meaning": "top-1 on plants"}, "accuracy differ.*plants"),
        ({"num_classes": 10}, "classes differ, 1000 and 10"),
    ],
)
def test_fronts_of_two_kinds_are_not_laid_over_each_other(panel, change, words):
    with pytest.raises(RepvitNasError, match=words):
        page([panel, msgspec.structs.replace(panel, **change)])


def test_nothing_to_show_is_said():
    with pytest.raises(RepvitNasError, match="needs a run"):
        page([])


def test_the_data_cannot_end_its_block(panel):
    text = page([panel]).decode()
    block = text[text.index('id="data">') + len('id="data">') :]
    block = block[: block.index("</script>")]

    assert "<" not in block
    assert json.loads(block)[0]["kind"] == "front"
    assert any(net["name"] == EVIL for net in json.loads(block)[0]["networks"])


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium: the page was not tried in a browser")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def opened(browser, panel, tmp_path):
    """The page in a browser, and what its console said."""
    path = tmp_path / "report.html"
    path.write_bytes(page([panel]))
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready=yes]")
    yield tab, said
    context.close()


def remaining(tab):
    return int(
        re.match(r"([\d,]+) of", tab.inner_text("p.dim:has-text('remain')"))[1].replace(",", "")
    )


def test_it_loads_without_a_word_and_a_name_does_nothing(opened, panel):
    tab, said = opened

    assert tab.evaluate("window.evil") is None
    assert tab.inner_text("main .panel > .card[aria-live] h2") == EVIL
    assert tab.locator("table[aria-label=networks] tbody tr").count() == 100
    assert remaining(tab) == len(panel.networks)
    assert said == []


def test_a_lower_budget_leaves_fewer_networks(opened, panel):
    tab, said = opened

    tab.fill("#budget", "0.7")

    assert remaining(tab) == sum(net.latency["iphone12"].ms <= 0.7 for net in panel.networks)
    tab.fill("#params", "2.5")
    expected = [n for n in panel.networks if n.latency["iphone12"].ms <= 0.7 and n.params <= 2.5e6]
    assert remaining(tab) == len(expected)
    assert said == []


def test_a_row_is_chosen_by_keyboard_and_copied(opened, panel):
    tab, said = opened

    tab.focus("table[aria-label=networks] tbody tr:nth-child(3)")
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowDown")
    name = tab.inner_text("tbody tr[aria-selected=true] td")
    tab.click("#copy-json")
    copied = json.loads(tab.evaluate("navigator.clipboard.readText()"))
    tab.click("#copy-python")
    code = tab.evaluate("navigator.clipboard.readText()")

    assert copied["name"] == name
    net = next(net for net in panel.networks if net.name == name)
    assert msgspec.convert(copied["stages"], tuple[Stage, ...]) == net.stages
    import repvit_nas

    made = eval(code, {"repvit_nas": repvit_nas})
    assert made.stages == net.stages
    assert said == []


def test_the_table_sorts(opened):
    tab, _ = opened

    tab.click("th button:has-text('M params')")
    falling = [
        float(cell)
        for cell in tab.locator("table[aria-label=networks] td:nth-child(4)").all_inner_texts()
    ]
    tab.click("th button:has-text('M params')")
    rising = [
        float(cell)
        for cell in tab.locator("table[aria-label=networks] td:nth-child(4)").all_inner_texts()
    ]

    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert rising[0] < falling[0]


def test_hovering_says_what_a_point_is(opened):
    tab, _ = opened

    tab.locator(".plot .scatterlayer .trace .points path").first.hover(force=True)
    tab.wait_for_selector("#tip:not([hidden])")

    assert "ms on iphone12" in tab.inner_text("#tip")


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_screen(opened, width):
    tab, _ = opened

    tab.set_viewport_size({"width": width, "height": 900})
    tab.wait_for_timeout(200)

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
