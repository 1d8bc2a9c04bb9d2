"""ML programs read back from a package, and run by torch in half precision."""

import numpy as np
import pytest

from repvit_nas.conversion.coreml import (
    example,
    write_program,
)
from repvit_nas.conversion.mil import (
    SPEC_PATH,
    MilOperation,
    MilProgram,
    read_package,
    run,
    run_parts,
)
from repvit_nas.errors import FileError
from repvit_nas.programs import chain
from repvit_nas.units import Block


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A program with SE, and its package."""
    timed = chain(Block(16, 24, 8, 3, 8), 2)
    package = tmp_path_factory.mktemp("small") / "block.mlpackage"
    return timed, package, write_program(timed, package)


def test_what_is_no_program_is_said(small, tmp_path):
    _, package, _ = small
    with pytest.raises(FileError, match="cannot be read"):
        read_package(tmp_path / "nothing.mlpackage")
    broken = tmp_path / "broken.mlpackage"
    (broken / SPEC_PATH).parent.mkdir(parents=True)
    (broken / SPEC_PATH).write_bytes((package / SPEC_PATH).read_bytes())
    with pytest.raises(FileError, match=r"weight\.bin.*no such file"):
        read_package(broken)
    (broken / SPEC_PATH).write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(FileError, match="is no Core ML model"):
        read_package(broken)
    (broken / SPEC_PATH).write_bytes(b"")
    with pytest.raises(FileError, match="must hold an ML program"):
        read_package(broken)


def test_an_unknown_operation_or_shape_is_refused(small):
    _, package, _ = small
    read = read_package(package)
    odd = read.operations[0]._replace(type="softmax")

    with pytest.raises(FileError, match="'softmax'.*is not known; known: conv"):
        run(read._replace(operations=(odd,)), example(read))
    with pytest.raises(FileError, match="must make half precision"):
        run(read._replace(operations=(read.operations[0]._replace(half=False),)), example(read))


def by_hand(negated=()):
    """A convolution of one point to two channels, then relu, on an image of 1 by 2."""
    conv = MilOperation(
        "conv",
        {name: name for name in ("weight", "pad_type", "strides", "dilations", "groups")}
        | {"x": "image"},
        "middle", (1, 2, 1, 2), half=True,
    )  # fmt: skip
    relu = MilOperation("relu", {"x": "middle"}, "out", (1, 2, 1, 2), half=True)
    weight = np.array([2.0, -4.0], np.float16).reshape(2, 1, 1, 1)
    constants = {"pad_type": "valid", "strides": [1, 1], "dilations": [1, 1], "groups": 1}
    return MilProgram(
        {"image": (1, 1, 1, 2)}, ("out",), (conv, relu), constants, {"weight": weight}
    )


IMAGE = np.array([1 / 3, -1.0], np.float32).reshape(1, 1, 1, 2)
# One third in half precision: a mantissa of ten bits, so 1365 / 4096.
THIRD = 1365 / 4096


def test_every_value_is_rounded_to_half_precision():
    made = run(by_hand(), IMAGE)

    assert made.tolist() == [[[[2 * THIRD, 0.0]], [[0.0, 4.0]]]]


def test_a_negated_weight_changes_its_sign_only():
    made = run(by_hand(), IMAGE, negated=["weight"])

    assert made.tolist() == [[[[0.0, 2.0]], [[4 * THIRD, 0.0]]]]


def test_a_part_takes_what_it_should_take_and_not_what_the_part_before_it_made():
    second = np.array([-1.0, 1.0, 0.5, -0.5], np.float32).reshape(1, 2, 1, 2)

    first, last = run_parts(by_hand(), [IMAGE, second], [1, 1])

    assert first.tolist() == [[[[2 * THIRD, -2.0]], [[-4 * THIRD, 4.0]]]]
    assert last.tolist() == [[[[0.0, 1.0]], [[0.5, 0.0]]]]
