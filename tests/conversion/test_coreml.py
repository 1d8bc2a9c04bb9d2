"""Converted programs, read back on any machine and compared with torch."""

import os
import subprocess
import sys
import threading

import msgspec
import numpy as np
import pytest
import torch

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.conversion import converter
from repvit_nas.conversion.coreml import (
    TOLERANCE,
    _module,
    check,
    distance,
    example,
    package_digest,
    program_weights,
    unit_distances,
    write_module,
    write_program,
)
from repvit_nas.conversion.mil import SPEC_PATH, WEIGHTS_PATH, read_package, run_named
from repvit_nas.errors import RepvitNasError
from repvit_nas.network.pieces import fused_module, random_weights
from repvit_nas.path_units import ConvGelu, GatedDownsample, Inverted, Separated, WideHead
from repvit_nas.programs import chain, network, program
from repvit_nas.search_space.family import family
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem

FFN = ["conv", "gelu", "conv", "add"]
SE = ["reduce_mean", "conv", "relu", "conv", "sigmoid", "mul"]


# Written by hand from the fused network's definition.
CASES = [
    (chain(Block(24, 48, 0, 3, 14), 2), ["conv", *FFN] * 2),
    (chain(Block(24, 60, 8, 5, 14), 3), ["conv", *SE, *FFN] * 3),
    (chain(Block(16, 24, 8, 7, 9), 1), ["conv", *SE, *FFN]),
    (program([Stem(24, 48), Ffn(24, 48, 12)]), ["conv", "gelu", "conv", *FFN]),
    (
        program([Ffn(24, 48, 15), Downsample(24, 40, 7, 15), Ffn(40, 80, 8)]),
        [*FFN, "conv", "conv", *FFN],
    ),
    (program([Ffn(40, 80, 7), Head(40, 13, 7)]), [*FFN, "reduce_mean", "linear"]),
    (
        program([ConvGelu(3, 16, 3, 2, 16), Inverted(16, 64, 24, 16, 5, 2, 8)]),
        ["conv", "gelu", "conv", "gelu", "conv", *SE, "gelu", "conv"],
    ),
    (
        program([Inverted(16, 16, 16, 0, 3, 1, 8), Separated(16, 32, 24, 8, 5, 2, 8)]),
        ["conv", "gelu", "conv", "add", "conv", *SE, "conv", "gelu", "conv"],
    ),
    (
        program([GatedDownsample(24, 40, 8, 5, 15), WideHead(40, 80, 48, 13, 8)]),
        ["conv", *SE, "conv", "conv", "gelu", "reduce_mean", "linear", "gelu", "linear"],
    ),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A program with SE, and its package."""
    timed = chain(Block(16, 24, 8, 3, 8), 2)
    package = tmp_path_factory.mktemp("small") / "block.mlpackage"
    return timed, package, write_program(timed, package)


@pytest.mark.parametrize(("timed", "operations"), CASES, ids=range(len(CASES)))
def test_a_program_is_what_torch_computes(tmp_path, timed, operations):
    package = tmp_path / "p.mlpackage"

    found = write_program(timed, package)

    read = read_package(package)
    assert list(read.types) == operations  # fused convolutions, one gelu, no casts
    assert sum(found.operations.values()) == len(operations)
    assert found.rms < TOLERANCE
    module = _module(timed, program_weights(timed))
    assert distance(module, read, example(read)) < TOLERANCE
    modes = [read.constants[o.arguments["mode"]] for o in read.operations if o.type == "gelu"]
    assert set(modes) == {"EXACT"}


def test_weights_are_torchs_bit_by_bit(small):
    timed, package, _ = small
    read = read_package(package)

    module = torch.nn.Sequential(
        *(fused_module(unit, random_weights(unit, n + 1)) for n, unit in enumerate(timed.sequence))
    )

    wanted = sorted(p.numpy().astype(np.float16).tobytes() for p in module.state_dict().values())
    assert sorted(w.tobytes() for w in read.weights.values()) == wanted
    assert len(set(wanted)) == len(wanted)  # copies are distinct: their traffic is timed too


def test_the_comparison_has_teeth(small):
    """A single tensor with its sign turned must not pass, whichever it is."""
    timed, package, _ = small
    read = read_package(package)
    module = _module(timed, program_weights(timed))

    errors = [distance(module, read, example(read), [name]) for name in read.weights]

    assert distance(module, read, example(read)) < TOLERANCE
    assert min(errors) > 2 * TOLERANCE
    weights = list(program_weights(timed))
    assert max(unit_distances(timed, weights, read)) < TOLERANCE
    assert all(max(unit_distances(timed, weights, read, [n])) > 2 * TOLERANCE for n in read.weights)


def test_other_weights_and_other_operations_are_refused(small):
    timed, package, _ = small
    weights = list(program_weights(timed))
    key = next(iter(weights[1]))
    weights[1] = {**weights[1], key: np.nextafter(weights[1][key], 9, dtype=np.float32) * 1.01}

    with pytest.raises(RepvitNasError, match=r"1 of 20 weights are not torch's"):
        check(timed, weights, package)
    with pytest.raises(RepvitNasError, match=r"too few \{'conv': 5.*'gelu': 1"):
        check(chain(timed.units[0][0], 3), program_weights(timed), package)


def test_an_approximate_gelu_is_refused(tmp_path):
    timed = chain(Ffn(8, 16, 4), 1)
    module = _module(timed, program_weights(timed))
    gelus = [part for part in module.modules() if isinstance(part, torch.nn.GELU)]
    for gelu in gelus:
        gelu.approximate = "tanh"

    write_module(module, (1, 8, 4, 4), tmp_path / "p.mlpackage")

    assert len(gelus) == 1
    with pytest.raises(RepvitNasError, match="gelu must be EXACT; got TANH_APPROXIMATION"):
        check(timed, program_weights(timed), tmp_path / "p.mlpackage")


def test_a_whole_network_is_what_torch_computes(tmp_path):
    architecture = family()["repvit_m0_6"].architecture
    timed = network(architecture)

    found = write_program(timed, tmp_path / "n.mlpackage")

    assert found.rms < TOLERANCE
    assert found.operations["gelu"] == 1 + sum(
        isinstance(unit, Block | Ffn) for unit in timed.sequence
    )


def test_two_processes_write_the_same_bytes(small, tmp_path):
    timed, package, found = small
    code = (
        "import msgspec, sys; from pathlib import Path\n"
        "from repvit_nas.conversion.coreml import write_program\n"
        "from repvit_nas.programs import Program\n"
        "p = msgspec.json.decode(sys.argv[1], type=Program)\n"
        "print(write_program(p, Path(sys.argv[2])).digest)"
    )
    other = tmp_path / "other.mlpackage"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, msgspec.json.encode(timed).decode(), other],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )

    assert done.stdout.split() == [found.digest], done.stderr
    assert package_digest(package) == found.digest
    for path in ("Manifest.json", SPEC_PATH, WEIGHTS_PATH):
        assert (other / path).read_bytes() == (package / path).read_bytes()


def test_threads_take_turns(tmp_path):
    """Two conversions at once break each other; here they wait for one another."""
    timed = chain(Ffn(16, 24, 6), 1)
    digests, errors = {}, []

    def convert(number):
        try:
            digests[number] = write_program(timed, tmp_path / f"{number}.mlpackage").digest
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=convert, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(set(digests.values())) == 1
    assert len(digests) == 3


def test_an_older_package_is_replaced_and_nothing_is_left_beside(small, tmp_path):
    timed, _, found = small
    package = tmp_path / "p.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "stale").write_text("old")

    assert write_program(timed, package).digest == found.digest

    assert [path.name for path in tmp_path.iterdir()] == ["p.mlpackage"]
    assert not (package / "stale").exists()


def test_what_coremltools_says_of_itself_is_hidden(tmp_path, capfd):
    converter.coremltools()
    write_program(chain(Ffn(8, 8, 4), 1), tmp_path / "p.mlpackage")

    assert capfd.readouterr() == ("", "")


STAGES = tuple(Stage(width=width, depth=1, se="0") for width in (8, 16, 24, 32))
BLOCK = ["conv", *FFN]
OPENING = [*BLOCK, "conv", "conv", *FFN]
# Of a plain opening the downsample alone.
BODY = ["conv", "gelu", "conv", *BLOCK, *OPENING, *BLOCK, "conv", "conv", *BLOCK, *OPENING, *BLOCK]
NORM = ["transpose", "layer_norm", "transpose"]


@pytest.mark.parametrize(
    ("output", "tail", "names"),
    [
        ("features", [], ("output_0", "output_1", "output_2", "output_3")),
        ("sam", [*("conv", *NORM), *("conv", *NORM)], ("output",)),
    ],
)
def test_a_program_hands_back_the_maps_of_its_network(tmp_path, output, tail, names):
    plain = msgspec.structs.replace(STAGES[2], downsample="plain")
    stages = (*STAGES[:2], plain, STAGES[3])
    timed = network(Architecture(resolution=64, num_classes=0, output=output, stages=stages))

    found = write_program(timed, tmp_path / "p.mlpackage")

    read = read_package(tmp_path / "p.mlpackage")
    assert list(read.types) == [*BODY, *tail]
    assert read.outputs == names
    assert found.rms < TOLERANCE
    image = example(read)
    with torch.inference_mode():
        made = _module(timed, program_weights(timed))(torch.from_numpy(image))
    expected = [made] if output == "sam" else made
    for name, one in zip(names, expected, strict=True):
        other = run_named(read, {"image": image})[name]
        assert other.shape == one.shape
        assert np.sqrt(np.mean((other - one.numpy()) ** 2) / np.mean(one.numpy() ** 2)) < 1e-2


def test_maps_in_another_order_are_refused(tmp_path, monkeypatch):
    """Two stages may have maps of one shape: nothing else would tell them apart."""
    stages = tuple(Stage(width=8, depth=1, se="0") for _ in range(4))
    timed = network(Architecture(resolution=32, num_classes=0, stages=stages))
    write_program(timed, tmp_path / "p.mlpackage")

    def swapped(package):
        read = read_package(package)
        return read._replace(outputs=(*read.outputs[:2], *reversed(read.outputs[2:])))

    monkeypatch.setattr("repvit_nas.conversion.coreml.read_package", swapped)
    with pytest.raises(RepvitNasError, match="must hand back .*output_2, output_3; got"):
        check(timed, program_weights(timed), tmp_path / "p.mlpackage")
