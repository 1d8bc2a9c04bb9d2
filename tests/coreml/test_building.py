"""The warm loop in Apple's app, and how it is built."""

import pytest
from cable import UNIT, opened, runner
from fake_apple import PHONE, SWIFT, FakeApple, app_source

from repvit_nas.coreml.building import _LOOP, SERVICE, build, sources, with_loop
from repvit_nas.errors import RepvitNasError
from repvit_nas.programs import chain


def test_the_loop_goes_into_every_place_once():
    patched = with_loop(SWIFT)

    assert patched is not None
    for words in ("let iterations: Int?", "let warmup: Int?", "let durations: [UInt64]?"):
        assert patched.count(words) == 1
    assert patched.count("durations.append(predictDuration)") == 2
    # Everything opened is closed: as many braces and brackets more as less.
    for pair in ("{}", "()", "[]"):
        grown = [patched.count(sign) - SWIFT.count(sign) for sign in pair]
        assert grown[0] == grown[1], pair


@pytest.mark.parametrize("place", range(len(_LOOP)))
def test_a_source_that_differs_in_one_place_is_not_patched(place):
    anchor = _LOOP[place][0]

    assert with_loop(SWIFT.replace(anchor, anchor.upper())) is None
    assert with_loop(SWIFT + anchor) is None


def test_the_installed_app_s_source_takes_the_loop():
    try:
        text = (sources() / SERVICE).read_text()
    except RepvitNasError as error:
        assert "coremltools for macOS only" in str(error)
        pytest.skip("this coremltools has no ModelRunner")

    assert with_loop(text) is not None


def test_the_app_is_built_once_for_one_source_team_and_xcode(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    for _ in range(2):
        opened(apple, tmp_path).stop()
    assert len(apple.calls("xcodebuild", "-workspace")) == 1

    apple.set(xcode="27.0")
    opened(apple, tmp_path).stop()

    assert len(apple.calls("xcodebuild", "-workspace")) == 2


def test_a_loop_that_does_not_build_falls_back_to_the_stock_app(tmp_path):
    said = []
    apple = FakeApple(tmp_path / "apple", loop_does_not_build=True)

    phone = opened(apple, tmp_path, say=said.append)

    assert not phone.built.loop
    assert any("warm loop does not build" in line for line in said)
    made = runner(phone, tmp_path)
    assert made.circumstances()["loop"] == "cold"
    assert made.series().endswith("_cold")
    with made.load(chain(UNIT, 2)) as calls:
        assert len(calls(60)) == 4  # one message a call: no visit gets more


def test_a_source_that_is_not_known_falls_back_too(tmp_path):
    said = []
    source = app_source(tmp_path / "other", "import CoreML\n")
    apple = FakeApple(tmp_path / "apple")

    built = build(apple, PHONE, tmp_path / "builds", team="T", source=source, say=said.append)

    assert not built.loop
    assert "not the one the warm loop was written for" in said[0]
