"""The whole front of a search, where the one that is shown was thinned: choices alone, packed."""

import io
from pathlib import Path
from typing import Final

import numpy as np

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.search_space.space import Choices, Space
from repvit_nas.searching.records import Result

_SCHEMA: Final = 1
# A hundred times as much as a search has left so far.
_MOST_BYTES: Final = 64 * 2**20


def whole_bytes(choices: Choices) -> bytes:
    """Return rows of choices `(n, parameters)` as an NPZ file: a few bytes for each network."""
    buffer = io.BytesIO()
    small = choices.astype(np.min_scalar_type(int(choices.max(initial=0))))
    np.savez_compressed(buffer, schema=np.array(_SCHEMA), choices=small)
    return buffer.getvalue()


def unpack_whole(path: Path | str, content: bytes, result: Result, space: Space) -> Choices:
    """Return the whole front of a run.

    Args:
        path: What to call its file in an error message.
        content: The content of that.
        result: The content of the `front.json` beside it.
        space: Where its networks come from.

    Returns:
        Rows of choices, `(result.whole, parameters)`.

    Raises:
        FileError: The content is damaged, of another search or of another space.
    """
    if files.digest(content) != result.whole_digest:
        raise FileError(f"{path}: belongs to another search than the front beside it; search again")
    arrays = files.unpacked(path, content, _MOST_BYTES, remedy="search again")
    if set(arrays) != {"schema", "choices"} or arrays["schema"].tolist() != _SCHEMA:
        raise FileError(f"{path}: must hold `schema` {_SCHEMA} and `choices`; got {sorted(arrays)}")
    choices, wanted = arrays["choices"], (result.whole, len(space.parameters))
    if choices.shape != wanted or choices.dtype.kind != "u" or (choices >= space.radix).any():
        raise FileError(
            f"{path}: choices must be {wanted} whole numbers of the space {space.name!r}; got "
            f"{choices.shape} of {choices.dtype}"
        )
    return choices.astype(np.intp)
