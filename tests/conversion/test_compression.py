"""Weights of fewer bits: a palette is a good one, and what a package stores is read back."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn

from repvit_nas.conversion.compression import compressed, palette
from repvit_nas.conversion.converter import converted, coremltools, one_at_a_time, save
from repvit_nas.conversion.mil import read_package
from repvit_nas.conversion.package import package_digest


def weights(count, seed=0):
    """Weights as a fused network has them: a channel's are larger than another's."""
    rng = np.random.default_rng(seed)
    return (0.05 * rng.normal(size=count) * np.exp(rng.normal(size=count))).astype(np.float16)


@pytest.mark.parametrize(("bits", "distortion"), [(4, 0.009497), (6, 0.000664)])
def test_a_palette_of_normal_values_is_as_good_as_any_can_be(bits, distortion):
    """Max (1960) for 16 entries; Panter and Dite's pi sqrt(3) / 2 / entries**2 for 64."""
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float16)

    table, places = palette(values, bits)

    assert np.square(table[places].astype(float) - values).mean() <= 1.03 * distortion
    assert table.shape == (2**bits,)


@pytest.mark.parametrize("bits", [4, 6])
def test_a_palette_is_about_as_good_as_scikit_learns(bits):
    values = weights(6000)

    table, places = palette(values, bits)

    theirs = KMeans(2**bits, n_init=1, random_state=0).fit(values.astype(float).reshape(-1, 1))
    error = np.square(table[places].astype(float) - values).sum()
    assert error <= 1.15 * theirs.inertia_
    nearest = np.abs(values[:, None].astype(float) - table.astype(float)).argmin(1)
    assert np.array_equal(table[places], table[nearest])


def test_few_values_are_kept_as_they_are():
    values = np.array([0.5, -1.0, 0.5, 2.0], np.float16)

    table, places = palette(values, 4)

    assert np.array_equal(table[places], values)
    assert palette(np.zeros(9, np.float16), 4)[0].tolist() == [0.0] * 16


@pytest.fixture(scope="module")
def model():
    tools = coremltools()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # 648, 4,800 and 800 weights: the second alone is stored in fewer bits.
        module = nn.Sequential(
            nn.Conv2d(3, 24, 3), nn.Conv2d(24, 200, 1), nn.Conv2d(200, 4, 1)
        ).eval()
    half = np.float16
    return converted(
        module,
        (1, 3, 8, 8),
        inputs=[tools.TensorType(name="image", shape=(1, 3, 8, 8), dtype=half)],
        outputs=[tools.TensorType(name="output", dtype=half)],
    )


# Of normal weights: a channel of 24 in 8 bits linear; Max (1960) gives 9.5 % for a table of 16.
@pytest.mark.parametrize(("bits", "most"), [(8, 0.006), (6, 0.02), (4, 0.08)])
def test_a_large_tensor_is_stored_in_fewer_bits_and_read_back(model, bits, most, tmp_path):
    half = read_package(Path(model.package_path))

    for name in ("one", "other"):
        save(compressed(model, bits), tmp_path / name)

    assert package_digest(tmp_path / "one") == package_digest(tmp_path / "other")
    found = read_package(tmp_path / "one")
    assert found.types == half.types == ("conv", "conv", "conv")
    (name,) = found.bits
    assert found.bits[name] == bits
    before, after = (
        [program.weights[each.arguments["weight"]].astype(float) for each in program.operations]
        for program in (half, found)
    )
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[2], after[2])
    error = np.sqrt(np.square(after[1] - before[1]).mean() / np.square(before[1]).mean())
    assert 0 < error < most
    if (
        bits == 8
    ):  # each channel has a scale, and its largest weight is 127 times that, both rounded
        scale = np.abs(before[1]).max(axis=(1, 2, 3), keepdims=True) / 127
        assert (np.abs(after[1] - before[1]) <= (0.5 + 127 * 2**-10) * scale).all()


def test_core_ml_itself_expands_the_weights_alike(model, tmp_path):
    """coremltools' own way back to half precision gives the values that are read here."""
    import coremltools.optimize.coreml as optimize

    for bits in (8, 6):
        small = compressed(model, bits)
        save(small, tmp_path / f"{bits}")
        with one_at_a_time():
            plain = optimize.decompress_weights(small)
            gc.collect()

        mine = read_package(tmp_path / f"{bits}")
        theirs = read_package(Path(plain.package_path))

        assert theirs.bits == {}
        for one, other in zip(mine.operations, theirs.operations, strict=True):
            mine_values = mine.weights[one.arguments["weight"]]
            assert np.array_equal(mine_values, theirs.weights[other.arguments["weight"]])
