"""Reading and writing of the project's files: strict, versioned, and never half-written.

Every reader ends in a typed record or in one :class:`FileError` that names the file, the field,
what arrived and what is allowed. Every writer writes beside the target and renames.
"""

import contextlib
import csv
import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec

from repvit_nas.errors import FileError

if TYPE_CHECKING:
    import numpy.typing as npt

Record = TypeVar("Record")
T = TypeVar("T")

# The largest file of ours is a few megabytes; anything far larger is not one of ours.
MAX_BYTES = 64_000_000
_PIECE = 1 << 20
# In a folder while somebody writes to it, see `folders.held`.
LOCK_FILE = ".lock"
# Between tries to read what is being replaced, which takes its writer a few renames.
_PAUSES_S = (0.02, 0.1, 0.4)
# What a cell begins with that a spreadsheet runs, in narrow and in wide characters.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
# As it stands in a file, and as JSON and TOML write it: no path or name may hold one.
_NULL = re.compile(rb"\x00|(?<!\\)(?:\\\\)*\\u0000")
_FIELD = re.compile(r"^(?P<rule>.*?)(?: - at `(?P<at>.*)`)?$", re.DOTALL)


# The name of a file or folder in another one: what leaves that is no name.
FileName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}$")
]


def digest(*contents: bytes | Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of `contents`, in order.

    A path stands for its file's content, which is read piece by piece: it may be larger than any
    file that a person writes.
    """
    found = hashlib.sha256()
    for place, content in enumerate(contents):
        if place:
            found.update(b"\0")
        if isinstance(content, bytes):
            found.update(content)
            continue
        with content.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    return found.hexdigest()[:16]


def inside(folder: Path, path: Path) -> Path:
    """Return `path` if it lies in `folder`, links followed.

    Raises:
        FileError: It is a link, or under one, that leaves the folder, or a name that does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(f"{path}: leads out of {folder}, to {path.resolve()}")
    return path


def read_bytes(path: Path) -> bytes:
    """Return the content of `path`.

    Raises:
        FileError: It is missing, a folder, unreadable or larger than any file of ours.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # a device may have no end
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise FileError(f"{path}: larger than {MAX_BYTES:,} bytes, so not a file of repvit-nas")
    return content


def settled(folder: Path, read: Callable[[], T]) -> T:
    """Read files of a folder that belong together; once more where they were being replaced meanwhile.

    Args:
        folder: The folder that a writer of them holds.
        read: Reads them.

    Raises:
        FileError: They are not valid, and nobody is writing them or no longer.
    """
    for pause_s in _PAUSES_S:
        writing = (folder / LOCK_FILE).exists()
        try:
            return read()
        except FileError:
            if not writing:
                raise
        time.sleep(pause_s)
    return read()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`: beside it first, then renamed, so nobody sees half of it.

    Raises:
        FileError: The folder is missing, read-only or full. What was there before stays.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all of them beside first, then renamed in order.

    Args:
        contents: What each path is to hold.

    Raises:
        FileError: A folder is missing, read-only or full. What was there before stays.
    """
    beside: dict[Path, Path] = {}
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            beside[path] = Path(made)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside[path].chmod(0o644)
        for path, ready in beside.items():
            ready.replace(path)
    except OSError as error:
        for ready in beside.values():
            with contextlib.suppress(OSError):
                ready.unlink()
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error


def unpacked(
    path: Path | str, content: bytes, most: int, *, remedy: str
) -> "dict[str, npt.NDArray[Any]]":
    """Return the arrays of an NPZ file from its content; sizes are looked at before.

    Args:
        path: What to call the origin in an error message.
        content: The file.
        most: The most bytes that it may unpack to.
        remedy: What to do about a damaged one, for messages.

    Raises:
        FileError: It is damaged, holds objects, or unpacks to more.
    """
    import zipfile

    import numpy as np

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size <= most:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return {name: np.asarray(file[name]) for name in file.files}
    except Exception as error:  # zip, zlib and numpy raise many kinds for a damaged file
        said = _cut(str(error))
        raise FileError(f"{path}: holds no arrays that can be read: {said}; {remedy}") from error
    raise FileError(
        f"{path}: its arrays unpack to {size:,} bytes; at most {most:,} are read; {remedy}"
    )


def read_json(path: Path, kind: type[Record], *, schema: int | None = 1) -> Record:
    """Read a JSON file into a record of type `kind`; see :func:`convert`."""
    return convert(path, _decode(path, msgspec.json.decode), kind, schema=schema)


def read_toml(path: Path, kind: type[Record], *, schema: int | None = 1) -> Record:
    """Read a TOML file into a record of type `kind`; see :func:`convert`."""
    return convert(path, _decode(path, msgspec.toml.decode), kind, schema=schema)


def read_csv(path: Path, kind: type[Record]) -> list[Record]:
    """Read a CSV file with a header into records of type `kind`; empty cells take the default.

    Raises:
        FileError: A column is missing or unknown, or a cell is not as `kind` asks.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")  # spreadsheets write a mark before the header
        if "\0" in text:
            raise FileError(f"{path}: holds a null character, which no text of ours does")
        lines = list(csv.DictReader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: is no valid CSV: {error}") from error
    records = []
    for number, line in enumerate(lines, start=2):
        cells = {column: cell for column, cell in line.items() if cell not in ("", None)}
        try:
            records.append(msgspec.convert(cells, kind, strict=False))
        except msgspec.ValidationError as error:
            raise FileError(f"{path}: line {number}: {_explain(str(error), cells)}") from error
    return records


def encode_csv(columns: Mapping[str, Sequence[object]]) -> bytes:
    """Return columns as a CSV file with a header.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_no_formula, columns))
    for row in zip(*columns.values(), strict=True):
        writer.writerow(map(_no_formula, row))
    return text.getvalue().encode()


def _no_formula(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


def encode_json(value: object) -> bytes:
    """Return `value` as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def encode_lines(record: msgspec.Struct, *fields: str) -> bytes:
    """Return `record` as JSON with a line for each item of its lists `fields`, which come last."""
    document = msgspec.to_builtins(record)
    lists = {field: document.pop(field) for field in fields}
    text = encode_json(document).rstrip().removesuffix(b"}").rstrip()
    for field, items in lists.items():
        lines = b",\n".join(msgspec.json.encode(item) for item in items)
        text += b",\n " + msgspec.json.encode(field) + b": [\n" + lines + b"\n]"
    return text + b"}\n"


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON; see :func:`write_bytes`."""
    write_bytes(path, encode_json(value))


def convert(path: Path | str, raw: Any, kind: type[Record], *, schema: int | None = 1) -> Record:
    """Turn decoded data into a record of type `kind`.

    Args:
        path: What to call the origin in an error message.
        raw: Decoded JSON or TOML.
        kind: A `msgspec.Struct`, or any type msgspec converts to.
        schema: The version the data must state under `schema`; None asks for none.

    Raises:
        FileError: The version or a field is not as `kind` asks.
    """
    if schema is not None:
        schema_of(path, raw, schema)
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise FileError(f"{path}: {_explain(str(error), raw)}") from error


def schema_of(path: Path | str, raw: Any, *known: int) -> int:
    """Return the version that decoded data states under `schema`.

    Args:
        path: What to call the origin in an error message.
        raw: Decoded JSON or TOML.
        *known: The versions that can be read.

    Raises:
        FileError: It states none, or one that is not known.
    """
    reads = " or ".join(map(str, known))
    if not isinstance(raw, dict):
        raise FileError(f"{path}: must hold one object; got {shown(raw)}")
    if "schema" not in raw:
        raise FileError(f"{path}: the field `schema` is missing; this version reads {reads}")
    found = raw["schema"]
    if type(found) is not int or found not in known:
        raise FileError(f"{path}: `schema` must be {reads}; got {shown(found)}")
    return found


def _decode(path: Path, decode: Callable[[bytes], Any]) -> Any:
    content = read_bytes(path)
    if _NULL.search(content):
        raise FileError(f"{path}: holds a null character, which no text of ours does")
    try:
        return decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        kind = path.suffix.lstrip(".").upper() or "JSON"
        raise FileError(f"{path}: is no valid {kind}: {error}") from error


def _explain(message: str, raw: Any) -> str:
    """Rephrase msgspec's 'rule - at `$.path`' as 'field: rule; got value'."""
    match = _FIELD.match(message)
    rule, at = (match["rule"], match["at"]) if match else (message, None)
    if at is None:
        return _cut(rule)
    rule, field = _cut(rule), at.removeprefix("$").removeprefix(".")
    said = re.search(r"; got |, got \d", rule)
    arrived = "" if said else f"; got {shown(_value_at(raw, field))}"
    return f"{field or 'the file'}: {rule}{arrived}"


def _value_at(raw: Any, field: str) -> Any:
    value = raw
    for part in re.findall(r"[^.\[\]]+", field):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return value
    return value


def shown(value: Any) -> str:
    """Return what a file holds, cut short, for a message of one line."""
    return _cut(repr(value), 60)


def _cut(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
