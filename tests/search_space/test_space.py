import itertools
import json
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from repvit_nas import files
from repvit_nas.architecture import Architecture, Stage, se_bits
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.search_space import family, load_space
from repvit_nas.search_space.space import ENUMERABLE, Space
from repvit_nas.search_space.space_file import SpaceFile


@pytest.fixture(scope="module")
def repvit():
    return load_space("repvit")[0]


@pytest.fixture(scope="module")
def coarse():
    return load_space("coarse")[0]


@pytest.fixture
def tiny():
    """A space of 2 x 2 x 1 x 1 widths, 2 depths, SE tied: 2*2*2*3 = 24 combinations."""
    stage = {"width": [8], "depth": [1], "se": ["none", "alternate", "all"], "expansion": [2.0]}
    document = {
        "schema": 1,
        "name": "tiny",
        "tied": ["se"],
        "constraints": ["width[0] <= width[1]"],
        "stages": [
            stage | {"width": {"min": 8, "max": 16, "step": 8}},
            stage | {"width": [8, 16]},
            stage | {"width": [16], "depth": [2, 3]},
            stage | {"width": [16]},
        ],
    }
    return Space(files.convert("tiny.toml", document, SpaceFile))


def test_the_space_covers_what_was_asked(repvit):
    """Widths in steps of 8 at least 32-80 to 256-640, depths around 2:2:14:2, five expansions."""
    wide = [(32, 80), (64, 160), (128, 320), (256, 640)]
    deep = [(1, 6), (1, 6), (6, 36), (1, 4)]
    for stage in range(4):
        widths = repvit.parameters[repvit.column("width", stage)].values
        depths = repvit.parameters[repvit.column("depth", stage)].values
        assert widths == tuple(range(wide[stage][0], wide[stage][1] + 1, 8))
        assert depths == tuple(range(deep[stage][0], deep[stage][1] + 1))
        assert repvit.file.stages[stage].se == ("none", "alternate", "all")
        assert repvit.file.stages[stage].expansion == (1.5, 2.0, 2.5, 3.0, 4.0)
    assert (repvit.file.resolution.default, repvit.file.resolution.min) == (224, 160)
    assert repvit.file.resolution.max == 1024


@pytest.mark.parametrize(
    "name",
    ["repvit_m0_6", "repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2_3"],
)
def test_the_family_are_points_of_the_space(repvit, name):
    architecture = family()[name].architecture

    repvit.check(architecture)
    choices = repvit.encode(architecture)

    assert repvit.decode(choices).architecture(0, name) == architecture


@given(seed=st.integers(0, 2**32 - 1))
def test_choices_arrays_and_records_say_the_same(seed):
    space, _ = load_space("repvit")
    choices = space.sample(np.random.default_rng(seed), 3)

    shapes = space.decode(choices, resolution=192, num_classes=7)

    for row in range(3):
        architecture = shapes.architecture(row)
        assert architecture.resolution == 192
        again = space.decode(space.encode(architecture), resolution=192, num_classes=7)
        assert again.architecture(0) == architecture
        for stage in range(4):
            value = space.parameters[space.column("se", stage)].values[
                choices[row, space.column("se", stage)]
            ]
            pattern = {"none": "0", "alternate": "10", "all": "1"}[value]
            assert architecture.stages[stage].se == se_bits(
                pattern, architecture.stages[stage].depth
            )


def test_the_coarse_space_is_a_sub_space_of_one_to_ten_million(repvit, coarse):
    assert 1_000_000 <= coarse.size <= 10_000_000
    assert coarse.enumerable
    assert not repvit.enumerable
    rng = np.random.default_rng(0)
    for row in range(200):
        shapes = coarse.decode(coarse.sample(rng, 1))
        if (coarse.violations(shapes) <= 0).all():
            repvit.encode(shapes.architecture(0, str(row)))


def test_enumeration_visits_every_combination_once(tiny):
    rows = np.concatenate(list(tiny.enumerate(chunk=5)))

    assert tiny.size == len(rows) == 2 * 2 * 2 * 3
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert {tiny.decode(rows).architecture(row) for row in range(len(rows))} >= {
        Architecture(
            stages=(
                Stage(width=8, depth=1, se="1"),
                Stage(width=16, depth=1, se="1"),
                Stage(width=16, depth=3, se="101"),
                Stage(width=16, depth=1, se="1"),
            )
        )
    }


def test_a_large_space_refuses_enumeration(repvit):
    assert repvit.size > ENUMERABLE
    with pytest.raises(RepvitNasError, match="--space coarse"):
        next(repvit.enumerate())


def test_constraints_of_the_file_hold_for_arrays(tiny):
    rows = np.concatenate(list(tiny.enumerate()))
    shapes = tiny.decode(rows)

    broken = tiny.violations(shapes)[:, 0]

    assert broken.tolist() == (shapes.width[:, 0] - shapes.width[:, 1]).tolist()


def test_tied_choices_set_all_stages(tiny):
    names = [parameter.name for parameter in tiny.parameters]
    column = names.index("se")
    choices = np.zeros((3, len(names)), dtype=np.intp)
    choices[:, column] = [0, 1, 2]

    shapes = tiny.decode(choices)

    assert names.count("se") == 1
    assert "se_0" not in names
    assert shapes.se_blocks.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 2, 1]]


def test_a_network_with_untied_choices_is_no_point_of_a_tied_space(tiny):
    mixed = Architecture(
        stages=(
            Stage(width=8, depth=1, se="1"),
            Stage(width=8, depth=1, se="0"),
            Stage(width=16, depth=2, se="10"),
            Stage(width=16, depth=1, se="1"),
        )
    )
    with pytest.raises(RepvitNasError, match="one choice for all stages"):
        tiny.encode(mixed)


def replaced(index, **changes):
    base = family()["repvit_m0_9"].architecture
    stages = list(base.stages)
    stages[index] = msgspec.structs.replace(stages[index], **changes)
    return msgspec.structs.replace(base, stages=tuple(stages))


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (replaced(1, width=176), ["stages[1].width", "got 176", "64 to 160 in steps of 8"]),
        (replaced(0, depth=7, se="0" * 7), ["stages[0].depth", "got 7", "1 to 6"]),
        (replaced(2, expansion=2.25), ["stages[2].expansion", "2.25", "1.5, 2.0"]),
        (replaced(1, width=64), None),
        (replaced(2, width=128), None),
        (replaced(3, kernel=7), None),
        (replaced(2, se="11111110000000"), None),
        (
            msgspec.structs.replace(replaced(0), resolution=128),
            ["resolution", "got 128", "160 to 1024"],
        ),
        (msgspec.structs.replace(replaced(0), resolution=512), None),
    ],
)
def test_what_is_outside_is_named_with_what_is_allowed(repvit, architecture, words):
    if words is None:
        repvit.check(architecture)
        return
    with pytest.raises(RepvitNasError) as error:
        repvit.check(architecture)
    for word in words:
        assert word in str(error.value)


def test_a_broken_constraint_is_named(tmp_path):
    text = (ROOT / "search_space" / "repvit.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        text.replace("width[1] <= width[2]", "2 * width[1] <= width[2]")
    )
    space, _ = load_space(str(tmp_path / "mine.toml"))

    with pytest.raises(
        RepvitNasError, match=r"breaks the constraint '2 \* width\[1\] <= width\[2\]'"
    ):
        space.check(replaced(1, width=104))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 3", ["`schema` must be 1", "got 3"]),
        ("schema = 1", "", ["`schema` is missing"]),
        ('name = "repvit"', "name = 5", ["name", "`str`", "got 5"]),
        (
            "min = 32, max = 80, step = 8",
            "min = 80, max = 32, step = 8",
            ["width", "min 80, max 32"],
        ),
        (
            "min = 32, max = 80, step = 8",
            "min = 33, max = 80, step = 8",
            ["multiple of 8", "got 33"],
        ),
        ("min = 32, max = 80, step = 8", "min = 32, max = 80, step = 0", ["step > 0"]),
        ("expansion = [1.5, 2.0, 2.5, 3.0, 4.0]", "expansion = []", ["expansion"]),
        ("expansion = [1.5, 2.0, 2.5, 3.0, 4.0]", "expansion = [inf]", ["expansion", "inf"]),
        ('se = ["none", "alternate", "all"]', 'se = ["some"]', ["se", "some"]),
        ("kernel = [3]\n", "kernel = [4]\n", ["kernel", "got 4"]),
        ('"width[0] <= width[1]"', '"width[0] < width[1]"', ["a constraint is one comparison"]),
        ("default = 224", "default = 100", ["resolution", "default 100"]),
        ("[resolution]", "[revolution]", ["unknown field", "revolution"]),
        (
            "[[stages]]\nwidth = { min = 256",
            "[[other]]\nwidth = { min = 256",
            ["stages", "length 4, got 3"],
        ),
    ],
)
def test_a_bad_space_file_is_refused_with_its_field(tmp_path, old, new, words):
    text = (ROOT / "search_space" / "repvit.toml").read_text()
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1))

    with pytest.raises(FileError) as error:
        load_space(str(path))

    assert "\n" not in str(error.value)
    for word in ["bad.toml", *words]:
        assert word in str(error.value)


@given(data=st.data())
def test_mutated_space_files_never_end_in_anything_but_our_error(tmp_path_factory, data):
    content = bytearray((ROOT / "search_space" / "coarse.toml").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[at : at + data.draw(st.integers(1, 20))]
        else:
            content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("space") / "a.toml"
    path.write_bytes(bytes(content))

    try:
        load_space(str(path))
    except FileError as error:
        assert "\n" not in str(error)


def test_an_unknown_space_is_answered_with_the_known(elsewhere):
    for name in ("huge", ""):
        with pytest.raises(
            UnknownNameError, match=f"space '{name}' .*known: cifar, coarse, downsample, repvit$"
        ):
            load_space(name)


@pytest.mark.parametrize("name", ["mine.json", "./mine.json", "some/folder"])
def test_a_space_file_that_is_no_toml_is_told_what_it_must_be(elsewhere, name):
    (elsewhere / "mine.json").write_text("{}")

    with pytest.raises(FileError, match=f"{name}: a space is a TOML file"):
        load_space(name)


def test_a_space_of_a_name_too_long_is_one_line(elsewhere):
    for name in ("a" * 300, "a" * 300 + ".b", "a" * 300 + ".toml"):
        with pytest.raises(FileError, match="cannot be read: File name too long"):
            load_space(name)


def test_a_space_too_large_to_be_priced_is_refused_at_once(tmp_path):
    text = (ROOT / "search_space" / "repvit.toml").read_text()
    text = re.sub(r"min = \d+, max = \d+, step = 8", "min = 8, max = 4096, step = 8", text)
    (tmp_path / "wide.toml").write_text(text)

    with pytest.raises(FileError, match=r"wide\.toml: .* 3,934,720 ways .* at most 200,000"):
        load_space(str(tmp_path / "wide.toml"))


def test_digests_tell_spaces_apart(repvit, coarse):
    assert repvit.digest != coarse.digest
    assert repvit.digest == load_space("repvit")[0].digest


def test_every_network_of_a_tied_space_is_found_in_it_again(tiny):
    """Even where a stage of one block has SE both in all and in alternate blocks."""
    rows = np.array(list(itertools.product(*map(range, tiny.radix))), dtype=np.intp)
    shapes = tiny.decode(rows)

    for row in range(len(rows)):
        architecture = shapes.architecture(row, "")
        again = tiny.decode(tiny.encode(architecture)).architecture(0, "")
        assert again == architecture


@pytest.fixture(scope="module")
def opened():
    return load_space("downsample")[0]


def test_a_space_that_says_nothing_of_openings_is_as_it_was(repvit):
    """The digest is that of the shipped run."""
    run = json.loads((ROOT / "results" / "iphone12-1.0ms" / "run.json").read_text())

    assert repvit.digest == run["inputs"]["space repvit"]
    assert len(repvit.parameters) == 20
    assert not repvit.decode(repvit.sample(np.random.default_rng(0), 9)).plain.any()
    plain = changed_opening("plain", 1)
    with pytest.raises(RepvitNasError, match=r"stages\[1\].downsample is not in space 'repvit'"):
        repvit.check(plain)
    with pytest.raises(RepvitNasError, match=r"stages\[1\].downsample is not searched"):
        repvit.encode(plain)


def changed_opening(way, *places):
    network = family()["repvit_m1_0"].architecture
    stages = [
        msgspec.structs.replace(stage, downsample=way) if place in places else stage
        for place, stage in enumerate(network.stages)
    ]
    return msgspec.structs.replace(network, stages=tuple(stages))


def test_openings_are_chosen_stage_by_stage(opened, repvit):
    assert opened.size == 8 * repvit.size
    assert opened.openings == 2 * (repvit.openings - 7 * 5) + 7 * 5
    for places in ((), (1,), (2, 3), (1, 2, 3)):
        network = changed_opening("plain", *places)
        opened.check(network)
        back = opened.decode(opened.encode(network)).architecture(0, network.name)
        assert back == network
    choices = opened.sample(np.random.default_rng(1), 200)
    assert 0.3 < opened.decode(choices).plain[:, 1:].mean() < 0.7
    for row in choices[:5]:
        assert opened.choices_of(opened.parameters_of(row)) == row.tolist()


def test_openings_may_be_tied_and_allowed_in_files_alone(tiny, repvit):
    both = ("deep", "plain")
    stages = [msgspec.structs.replace(stage, downsample=both) for stage in tiny.file.stages[1:]]
    tied = msgspec.structs.replace(
        tiny.file, tied=("se", "downsample"), stages=(tiny.file.stages[0], *stages)
    )
    allowed = msgspec.structs.replace(repvit.file.allowed, downsample=("plain",))
    lax = Space(msgspec.structs.replace(repvit.file, allowed=allowed))

    assert Space(tied).size == 2 * tiny.size
    assert set(
        Space(tied).decode(Space(tied).sample(np.random.default_rng(0), 99)).plain.sum(1)
    ) == {0, 3}
    lax.check(changed_opening("plain", 1, 3))
    assert len(lax.parameters) == len(repvit.parameters)


def test_the_stem_opens_the_first_stage(tiny):
    first = msgspec.structs.replace(tiny.file.stages[0], downsample=("plain",))
    with pytest.raises(ValueError, match=r"stages\[0\] opens with the stem"):
        msgspec.structs.replace(tiny.file, stages=(first, *tiny.file.stages[1:]))
