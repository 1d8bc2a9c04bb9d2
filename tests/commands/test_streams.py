"""What a stream cannot encode is said in plain characters."""

import io
import sys

import pytest

from repvit_nas.commands.streams import plain, speak_plainly


def test_a_stream_of_few_characters_takes_every_text(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))

    speak_plainly()
    print("0.5 µs ≤ ½ → 猫")
    sys.stdout.flush()

    assert raw.getvalue().decode("ascii").splitlines() == ["0.5 us <= 1/2 -> ?"]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_stream_that_is_closed_or_no_file_is_left_as_it_is(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)

    speak_plainly()

    assert sys.stdout is stream


def test_what_cannot_be_read_is_no_matter_of_characters():
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    with pytest.raises(UnicodeDecodeError):
        plain(error)
