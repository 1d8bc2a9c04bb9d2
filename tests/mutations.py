"""Mutations of files, by bytes and by structure: the same seed makes the same ones."""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

Mutate = Callable[[random.Random, bytes], bytes]

HOSTILE: tuple[Any, ...] = (
    *(-1, -0.5, 0, 1, 2, 1e-308, 1e308, -1e308, 1e20, -1e20, 2**31, 2**63, 2**64, -(2**63)),
    *(None, True, False, [], {}, "", "x", "x" * 5000, "\x1b[31mred", "a\x00b", "../../../n"),
    *("<script>", "=cmd()", "nan", "inf", "1e999", "\ud7ff\uffff", "0", "-1"),
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_TOKENS = (
    *(b"-1", b"0", b"1e999", b"-1e20", b"1e308", b"1e-320", b"nan", b"-inf", b"inf", b"null"),
    *(b"9" * 400, b"2147483648", b"true", b'""', b"[]", b"\xff\xfe", b"\x1b[2J", b"\x00"),
)


def by_bytes(rng: random.Random, content: bytes) -> bytes:
    """Change bytes: flip, cut, copy, insert, or put another number where one stood."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 1:
                del found[at : at + rng.choice((1, 8, 1 << 20))]
            case 2:
                found[at:at] = found[at // 2 : at // 2 + rng.randrange(1, 64)]
            case 3:
                found[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            case 4:
                found[at:at] = rng.choice((b"[" * 2000, b'{"a":' * 2000))
            case _:
                numbers = list(_NUMBER.finditer(bytes(found[: 1 << 16])))
                if numbers:
                    number = rng.choice(numbers)
                    found[number.start() : number.end()] = rng.choice(_TOKENS)
    return bytes(found)


def by_structure(file: str) -> Mutate:
    """Return what changes the values, keys and rows of a file of that name."""
    if file.endswith((".json", ".jsonl", ".journal")):
        return _json if file.endswith(".json") else _one_line
    if file.endswith(".csv"):
        return _csv
    if file.endswith(".csv.gz"):
        return lambda rng, content: gzip.compress(_csv(rng, gzip.decompress(content)), mtime=0)
    if file.endswith(".toml"):
        return _toml
    if file.endswith(".npz"):
        return _npz
    return by_bytes


def _json(rng: random.Random, content: bytes) -> bytes:
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2))):
        document = _changed(rng, document)
    text = json.dumps(document)
    return text.encode("utf-8", "surrogatepass")


def _changed(rng: random.Random, document: Any) -> Any:
    """Change one value somewhere in a document."""
    places = list(_places(document))
    if not places:
        return rng.choice(HOSTILE)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(("extra", "\x1b[31m", "x" * 4000))] = rng.choice(HOSTILE)
        case 2 if isinstance(holder, list):
            holder.insert(0, holder[key])
        case 3 if isinstance(holder[key], int | float):
            holder[key] = -holder[key]
        case 4 if isinstance(holder[key], int | float):
            holder[key] = holder[key] * rng.choice((1e3, 1e-3, 1e12, 1e-12, 1e200))
        case 5:
            other, name = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case _:
            holder[key] = rng.choice(HOSTILE)
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = (
        list(document)
        if isinstance(document, dict)
        else range(len(document))
        if isinstance(document, list)
        else ()
    )
    for key in keys:
        yield document, key
        yield from _places(document[key])


def _one_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = _json(rng, lines[at])
    if not rng.randrange(5):
        lines.insert(at, lines[at])
    return b"\n".join(lines) + b"\n"


def _csv(rng: random.Random, content: bytes) -> bytes:
    rows = [line.split(b",") for line in content.splitlines()]
    row = rng.choice(rows)
    match rng.randrange(4):
        case 0:
            del row[rng.randrange(len(row))]
        case 1:
            rows.insert(rng.randrange(len(rows)), list(row))
        case _:
            row[rng.randrange(len(row))] = rng.choice(
                (*_TOKENS, b"\x1b[31m", b"=1+1", b"<b>", b"x" * 5000, b'"', b"1-1-1-1")
            )
    return b"\n".join(b",".join(row) for row in rows) + b"\n"


def _toml(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines()
    at = rng.choice([n for n, line in enumerate(lines) if b"=" in line])
    name, _, value = lines[at].partition(b"=")
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1 if _NUMBER.search(value):
            found = rng.choice(list(_NUMBER.finditer(value)))
            lines[at] = (
                name + b"=" + value[: found.start()] + rng.choice(_TOKENS) + value[found.end() :]
            )
        case _:
            lines[at] = name + b"= " + rng.choice((*_TOKENS, b'"x"', b"{}", b"[1, -1]", b"[[[]]]"))
    return b"\n".join(lines) + b"\n"


def _npz(rng: random.Random, content: bytes) -> bytes:
    """Change an array: its values, shape or type; the digest of the file is the caller's."""
    import io

    import numpy as np

    with np.load(io.BytesIO(content)) as packed:
        arrays = {name: np.array(packed[name]) for name in packed.files}
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    match rng.randrange(5):
        case 0:
            values = np.array([np.nan, np.inf, 3e38, -3e38, -1, 0])
            with np.errstate(invalid="ignore"):  # what a whole number makes of them
                array.flat[rng.randrange(array.size)] = rng.choice(list(values.astype(array.dtype)))
        case 1:
            arrays[name] = array.reshape(-1)
        case 2:
            arrays[name] = array * np.float32(rng.choice((1e30, -1, 0, 1e-30)))
        case 3:
            del arrays[name]
        case _:
            arrays[name] = array.astype(rng.choice((np.int8, "U5", bool)))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
