import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import architectures

from repvit_nas import files
from repvit_nas.architecture import (
    Architecture,
    Stage,
    architecture_json,
    hidden_channels,
    read_architecture,
    se_bits,
    shape_text,
    with_classes,
    with_output,
    write_architecture,
)
from repvit_nas.errors import FileError

GOOD = {
    "schema": 1,
    "name": "repvit_m0_9",
    "resolution": 224,
    "num_classes": 1000,
    "stages": [
        {"width": 48, "depth": 2, "se": "10", "expansion": 2.0, "kernel": 3},
        {"width": 96, "depth": 2, "se": "10", "expansion": 2.0, "kernel": 3},
        {"width": 192, "depth": 3, "se": "101", "expansion": 2.0, "kernel": 3},
        {"width": 384, "depth": 2, "se": "10", "expansion": 2.0, "kernel": 3},
    ],
}


def changed(**changes):
    document = json.loads(json.dumps(GOOD))
    for path, value in changes.items():
        target = document
        *parents, last = path.split("__")
        for parent in parents:
            target = target[int(parent)] if isinstance(target, list) else target[parent]
        target[last] = value
    return document


@given(architectures(outputs=True))
def test_every_architecture_survives_its_file(tmp_path_factory, architecture):
    path = tmp_path_factory.mktemp("arch") / "a.json"
    write_architecture(path, architecture)

    assert read_architecture(path) == architecture


def test_the_format_is_the_documented_one(tmp_path):
    """The document of the house plan, written by hand, is read as what it says."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))

    architecture = read_architecture(path)

    assert architecture.stages[2] == Stage(width=192, depth=3, se="101", expansion=2.0, kernel=3)
    assert json.loads(architecture_json(architecture)) == GOOD


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, ["`schema` must be 1", "got 2"]),
        ({"schema": "1"}, ["`schema` must be 1", "got '1'"]),
        ({"schema": True}, ["`schema` must be 1", "got True"]),
        ({"stages__0__width": 50}, ["stages[0]", "multiple of 8", "got 50"]),
        ({"stages__0__width": "wide"}, ["stages[0].width", "`int`", "'wide'"]),
        ({"stages__1__width": 0}, ["stages[1]", "got 0"]),
        ({"stages__1__width": 10**30}, ["stages[1]", "8 to 4096"]),
        ({"stages__2__depth": 0}, ["stages[2]", "depth", "got 0"]),
        ({"stages__2__depth": 2}, ["stages[2]", "one digit", "2 blocks", "'101'"]),
        ({"stages__2__se": "1x1"}, ["stages[2]", "0 or 1", "'1x1'"]),
        ({"stages__3__kernel": 4}, ["stages[3]", "3, 5 or 7", "got 4"]),
        ({"stages__3__expansion": 99}, ["stages[3]", "expansion", "99"]),
        ({"stages__3__colour": 1}, ["stages[3]", "unknown field", "colour"]),
        ({"resolution": 5}, ["resolution", "32 to 4096", "got 5"]),
        ({"name": "red\x1b[31m"}, ["name must be printable", "at most 200", "\\x1b"]),
        ({"name": "two\nlines"}, ["name must be printable"]),
        ({"name": "a" * 201}, ["name must be printable", "at most 200 characters"]),
        ({"output": "boxes"}, ["output", "'boxes'"]),
        ({"output": "sam"}, ["num_classes must be 0 where output is sam", "got 1000"]),
        (
            {"output": "sam", "num_classes": 0, "resolution": 1000},
            ["resolution must be a multiple of 16 where output is sam", "got 1000"],
        ),
        ({"num_classes": -1}, ["num_classes", "got -1"]),
        ({"stages": []}, ["stages", "length 4"]),
        ({"stages": None}, ["stages", "None"]),
    ],
)
def test_a_bad_file_is_refused_with_file_field_and_value(tmp_path, changes, words):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(changed(**changes)))

    with pytest.raises(FileError) as error:
        read_architecture(path)

    message = str(error.value)
    assert "bad.json" in message
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"schema": 1',
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b'{"schema": 1, "stages": NaN}',
        b'{"schema": NaN}',
        b"{}",
    ],
)
def test_what_is_no_architecture_at_all_is_refused(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)

    with pytest.raises(FileError, match=r"bad\.json"):
        read_architecture(path)


@given(data=st.data())
def test_mutated_files_never_end_in_anything_but_our_error(tmp_path_factory, data):
    """Bytes of a good file are dropped, replaced or doubled; the reader reads it or says why not."""
    content = bytearray(json.dumps(GOOD).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        if not content:
            break
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["drop", "replace", "double", "cut"])):
            case "drop":
                del content[at]
            case "replace":
                content[at] = data.draw(st.integers(0, 255))
            case "double":
                content[at:at] = content[at : at + 7]
            case "cut":
                del content[max(1, at) :]
    path = tmp_path_factory.mktemp("mutated") / "a.json"
    path.write_bytes(bytes(content))

    try:
        architecture = read_architecture(path)
    except FileError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(architecture, Architecture)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    field=st.sampled_from(
        [
            "schema",
            "name",
            "resolution",
            "num_classes",
            "output",
            "stages",
            "stages__0",
            "stages__1__width",
            "stages__2__depth",
            "stages__3__se",
            "stages__0__expansion",
            "stages__0__kernel",
        ]
    ),
    value=json_values,
)
def test_any_value_in_any_field_is_read_or_refused_in_one_line(field, value):
    document = changed(schema=1)
    target = document
    *parents, last = field.split("__")
    for parent in parents:
        target = target[int(parent)] if isinstance(target, list) else target[parent]
    target[int(last) if isinstance(target, list) else last] = value

    try:
        files.convert("a.json", document, Architecture)
    except FileError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("width", "expansion", "hidden"), [(48, 2.0, 96), (40, 1.5, 60), (56, 2.5, 140), (8, 0.25, 2)]
)
def test_hidden_channels_are_width_times_expansion(width, expansion, hidden):
    assert hidden_channels(width, expansion) == hidden


def test_se_patterns_start_with_the_first_block():
    assert se_bits("10", 5) == "10101"
    assert se_bits("0", 3) == "000"
    assert se_bits("1", 1) == "1"


def test_the_shape_names_only_what_differs():
    stages = tuple(Stage(width=width, depth=2, se="10") for width in (48, 96, 192, 384))
    plain = Architecture(stages=stages)
    odd = msgspec.structs.replace(
        plain, resolution=160, stages=(*stages[:3], Stage(width=384, depth=2, se="01", kernel=5))
    )

    assert shape_text(plain) == "48-96-192-384 / 2-2-2-2 / se ½ / x2"
    assert shape_text(odd) == "48-96-192-384 / 2-2-2-2 / se ½-½-½-01 / x2 / k3-3-3-5 / 160px"


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_network_has_four_stages_however_it_is_made(count):
    stage = Stage(width=16, depth=1, se="0")

    with pytest.raises(ValueError, match="stages must be 4 records of type Stage"):
        Architecture(stages=(stage,) * count)
    with pytest.raises(ValueError, match="stages must be 4 records of type Stage"):
        Architecture(stages=[{"width": 16, "depth": 1, "se": "0"}] * 4)
    assert hash(Architecture(stages=[stage] * 4)) == hash(Architecture(stages=(stage,) * 4))


def test_a_path_may_be_text(tmp_path):
    architecture = Architecture(stages=(Stage(width=16, depth=1, se="0"),) * 4)
    write_architecture(str(tmp_path / "x.json"), architecture)

    assert read_architecture(str(tmp_path / "x.json")) == architecture
    with pytest.raises(FileError, match="cannot be read"):
        read_architecture(str(tmp_path / "y.json"))


CLASSIFIER = Architecture(stages=(Stage(width=16, depth=1, se="0"),) * 4)


def test_files_of_classifiers_say_nothing_of_outputs_and_old_backbones_stay_readable(tmp_path):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(GOOD | {"num_classes": 0}))
    new = tmp_path / "new.json"
    write_architecture(new, read_architecture(old))

    assert b"output" not in architecture_json(CLASSIFIER)
    assert (
        CLASSIFIER.output
        == msgspec.json.decode(architecture_json(CLASSIFIER), type=Architecture).output
    )
    assert read_architecture(old).output == "features"
    assert json.loads(new.read_text())["output"] == "features"
    assert read_architecture(new) == read_architecture(old)
    said = msgspec.json.decode(json.dumps(GOOD | {"output": "logits"}).encode(), type=Architecture)
    assert b"output" not in architecture_json(said)


def test_what_is_behind_the_stages_can_be_exchanged():
    maps = with_output(CLASSIFIER, "features", resolution=512)
    encoder = with_output(maps, "sam", resolution=1024)

    assert (maps.num_classes, maps.resolution) == (0, 512)
    assert encoder.output == "sam"
    assert with_output(encoder, "logits", resolution=224) == CLASSIFIER
    assert with_classes(maps, 5).output == "logits"
    assert with_classes(CLASSIFIER, 0).output == "features"
    assert with_classes(encoder, 0) == encoder
    assert shape_text(encoder).endswith("/ 1024px / sam")
    with pytest.raises(ValueError, match="multiple of 32 where output is sam-fused"):
        with_output(CLASSIFIER, "sam-fused", resolution=1008)


def test_a_plain_downsample_is_said_and_a_deep_one_is_not(tmp_path):
    """Files, digests and shapes of what was there before stay as they were."""
    deep = Stage(width=16, depth=1, se="0", downsample="deeper"[:4])
    plain = msgspec.structs.replace(deep, downsample="plain")
    network = Architecture(stages=(deep, plain, deep, plain))
    write_architecture(tmp_path / "a.json", network)

    assert msgspec.json.encode(deep) == (
        b'{"width":16,"depth":1,"se":"0","expansion":2.0,"kernel":3}'
    )
    assert (
        msgspec.json.decode(b'{"width":16,"depth":1,"se":"0","downsample":"deep"}', type=Stage)
        == deep
    )
    assert (tmp_path / "a.json").read_text().count("downsample") == 2
    assert read_architecture(tmp_path / "a.json") == network
    assert shape_text(network) == "16-16-16-16 / 1-1-1-1 / se 0 / x2 / plain-deep-plain"
    assert shape_text(Architecture(stages=(deep, plain, plain, plain))).endswith("x2 / plain")
    assert shape_text(Architecture(stages=(deep,) * 4)).endswith("x2")


@pytest.mark.parametrize(
    ("first", "words"),
    [("plain", r"stages\[0\] opens with the stem"), ("flat", "must be deep or plain; got 'flat'")],
)
def test_what_opens_a_stage_is_deep_or_plain_and_the_stem_opens_the_first(first, words):
    deep = Stage(width=16, depth=1, se="0")
    with pytest.raises(ValueError, match=words):
        Architecture(stages=(Stage(width=16, depth=1, se="0", downsample=first), deep, deep, deep))
