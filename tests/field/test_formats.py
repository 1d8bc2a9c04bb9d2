"""Whatever a file says, its reader returns a sound record or says in one line what is wrong."""

import ast
import importlib
import json
import math
import os
import random
import resource
import time
import zlib
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from formats import FORMATS, NO_FORMAT
from mutations import by_bytes, by_structure
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import RepvitNasError

PACKAGE = ROOT / "repvit_nas"
MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "200"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
LONGEST_S, MOST_BYTES, LONGEST_MESSAGE = 10.0, 1 << 30, 2_000
# Calls that take in what a file holds.
READS = {
    *("read_json", "read_toml", "read_csv", "LineLog", "read_bytes", "read_text", "loads"),
    *("load_tensors", "ParseFromString", "MLModel", "GzipFile", "DictReader", "ZipFile"),
    "unpacked",
}
READS_OF = {
    *(("np", "load"), ("torch", "load"), ("onnx", "load"), ("Image", "open")),
    *(("json", "decode"), ("toml", "decode"), ("files", "convert")),
}
# Records whose numbers are checked with words of their own, or that no file is read into.
STATED_IN_WORDS = {
    *("Architecture", "Stage", "Range", "StageSpace", "ResolutionSpace", "Allowed"),
    *("Recipe", "Settings", "Program", "Observation", "_Samples", "_Report"),
    *("Ranking", "AccuracyValidation", "FinalRow", "Finals"),  # written for people, never read
}
# Fields that may be below 0.
SIGNED = ("low_ms", "measured_low_ms", "bias", "left_out_percent", "lead", "values", "constraints")
SIGNED_TOO = (
    *("kendall_tau", "spearman_rho", "train_loss", "ranges", "alpha", "samples"),
    *("usual", "mean", "covariance", "exponent"),
)


def reading_functions() -> set[str]:
    """Return the functions of the package that call what reads a file."""

    def inside(tree: ast.AST, name: str) -> Iterator[str]:
        for node in ast.iter_child_nodes(tree):
            own = name
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                own = f"{name}.{node.name}"
            if isinstance(node, ast.Call) and _reads(node.func):
                yield name
            yield from inside(node, own)

    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found |= set(inside(ast.parse(path.read_text()), module))
    return found


def _reads(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in READS
    if not isinstance(function, ast.Attribute):
        return False
    of = function.value
    base = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    return function.attr in READS or (base, function.attr) in READS_OF


def test_every_function_that_reads_a_file_stands_in_the_table_of_formats():
    named = {reader for item in FORMATS.values() for reader in item.readers}

    assert reading_functions() == named | NO_FORMAT.keys()
    assert not named & NO_FORMAT.keys()


def structs_of_files() -> set[type]:
    """Return the records of the package that a file may be read into."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE.parent).with_suffix("")
        if module.name != "__main__" and "msgspec.Struct" in path.read_text():
            importlib.import_module(".".join(module.parts))
    found, waiting = set(), [msgspec.Struct]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.startswith("repvit_nas"):
                found.add(kind)
                waiting.append(kind)
    return {kind for kind in found if kind.__module__.split(".")[1] not in ("report", "api")}


def unbounded(kind: type) -> list[str]:
    """Return the fields of a record that take a number without a bound on either side."""

    def numbers(info) -> Iterator[bool]:
        if isinstance(info, msgspec.inspect.FloatType | msgspec.inspect.IntType):
            yield (info.ge is not None or info.gt is not None) and (
                info.le is not None or info.lt is not None
            )
            return
        for name in ("types", "item_type", "item_types", "key_type", "value_type"):
            inner = getattr(info, name, None)
            for item in inner if isinstance(inner, tuple) else [inner] if inner else []:
                yield from numbers(item)

    return [
        f"{kind.__name__}.{field.name}"
        for field in msgspec.inspect.type_info(kind).fields
        if not all(numbers(field.type))
    ]


def test_every_number_of_a_record_that_is_read_has_its_bounds():
    without = {name for kind in structs_of_files() for name in unbounded(kind)}

    assert {name.split(".")[0] for name in without} == STATED_IN_WORDS, without


@pytest.mark.parametrize("name", FORMATS)
def test_the_seed_of_a_format_is_read(name, tmp_path):
    item = FORMATS[name]
    lay(tmp_path, item)

    sound(item.read(tmp_path))


@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_refused_in_a_line_or_read_as_sound(name, tmp_path):
    item = FORMATS[name]
    seed = lay(tmp_path, item)
    rng = random.Random(zlib.crc32(name.encode()) + SEED)
    ways = (by_bytes, by_structure(item.file))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for number in range(MUTATIONS):
        content = ways[number % 2](rng, seed)
        (tmp_path / item.file).write_bytes(content)
        adopt(tmp_path, item.file, content)
        start = time.process_time()
        try:
            found = item.read(tmp_path)
        except RepvitNasError as error:
            assert len(str(error)) <= LONGEST_MESSAGE, str(error)[:300]
        else:
            sound(found)
        assert time.process_time() - start < LONGEST_S
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown < MOST_BYTES


def lay(folder, item) -> bytes:
    """Put a format's seed and what lies beside it into a folder, and return the seed."""
    seed = item.content()
    for file, content in {**item.beside(), item.file: seed}.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return seed


def adopt(folder, file, content) -> None:
    """Give arrays a predictor that names their digest: an attacker writes both files."""
    if file == "residual.npz":
        path = folder / "predictor.json"
        document = json.loads(path.read_text())
        document["measured"]["arrays_digest"] = files.digest(content)
        path.write_text(json.dumps(document))


def sound(found, field: str = "") -> None:
    """Fail on a number that no physical quantity is."""
    if isinstance(found, msgspec.Struct):
        for name in found.__struct_fields__:
            sound(getattr(found, name), name)
    elif hasattr(found, "_asdict"):
        for name, value in found._asdict().items():
            sound(value, name)
    elif isinstance(found, dict):
        for key, value in found.items():
            sound(value, field if field in SIGNED_TOO else str(key))
    elif isinstance(found, np.ndarray):
        assert np.isfinite(found).all(), field
    elif isinstance(found, list | tuple):
        for value in found:
            sound(value, field)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        assert math.isfinite(found), (field, found)
        assert found >= 0 or field in SIGNED + SIGNED_TOO, (field, found)
