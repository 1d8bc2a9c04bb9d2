"""Text on streams that cannot show every character."""

import codecs
import sys
from typing import Final

# What stands for a character that a code page lacks; for any other, a question mark.
_PLAIN: Final = {
    "½": "1/2",
    "±": "+-",
    "×": "x",
    "…": "...",
    "–": "-",
    "—": "-",
    "µ": "u",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
}
_HANDLER: Final = "repvit-nas.plain"


def plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded by plain characters: a handler of the codecs module."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each, "?") for each in found), error.end


def speak_plainly() -> None:
    """Let stdout and stderr replace what their encoding lacks, instead of failing."""
    codecs.register_error(_HANDLER, plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream may be closed, or no file
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)
