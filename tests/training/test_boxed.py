"""The images in the box."""

import numpy as np
import pytest

from repvit_nas.training.boxed import DrawnShapes
from repvit_nas.training.data import open_data
from repvit_nas.training.spec import DataSpec


def test_digits_are_the_1797_of_scikit_learn_each_once():
    opened = open_data(DataSpec(name="digits"))

    assert len(opened.train) + len(opened.val) == 1797
    assert opened.classes == tuple("0123456789")
    assert not opened.flip  # a mirrored 3 is no 3
    image, label = opened.val[0]
    assert image.mode == "RGB"
    assert image.size == (8, 8)
    assert 0 <= label <= 9
    # The labels of the whole set, counted by scikit-learn's documentation: about 180 of each.
    counts = np.bincount(np.concatenate([opened.train.labels, opened.val.labels]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_shapes_to_validate_on_are_other_images_of_the_same_classes():
    opened = open_data(DataSpec(name="shapes", train_images=48, val_images=24), resolution=32)

    assert (len(opened.train), len(opened.val)) == (48, 24)
    assert opened.train[0][0].size == (32, 32)
    assert [opened.val[index][1] for index in range(24)] == list(range(24))
    assert not np.array_equal(np.asarray(opened.train[0][0]), np.asarray(opened.val[0][0]))
    with pytest.raises(IndexError):
        opened.train[48]


def test_shapes_are_drawn_at_any_size():
    assert DrawnShapes(24, 50)[3][0].size == (50, 50)
