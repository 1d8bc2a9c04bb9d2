import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from repvit_nas.training import shapes

# Of the first 48 images at 32 pixels.
MEAN, CENTRES = 124.042, 17788


def test_there_are_twenty_classes_or_more_and_each_comes_equally_often():
    labels = [shapes.label(index) for index in range(10 * len(shapes.CLASSES))]

    assert len(set(shapes.CLASSES)) >= 20
    assert set(np.bincount(labels)) == {10}


@pytest.mark.parametrize("size", [8, 33, 64, 160])
def test_an_image_is_of_its_size_and_depends_on_seed_and_index_alone(size):
    first = shapes.draw(5, size, seed=1)

    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, shapes.draw(5, size, seed=1))
    assert not np.array_equal(first, shapes.draw(6, size, seed=1))
    assert not np.array_equal(first, shapes.draw(5, size, seed=2))


def test_images_stay_what_they_were():
    """Accuracies on `shapes` can only be compared while the images are the same."""
    drawn = np.stack([shapes.draw(index, 32) for index in range(48)]).astype(np.int64)

    # Rounding of trigonometry may differ by a step between processors, not by more.
    assert drawn.mean() == pytest.approx(MEAN, abs=0.05)
    assert drawn[:, 16, 16].sum() == pytest.approx(CENTRES, abs=30)


def test_outlines_differ_from_each_other():
    table = shapes._table()

    assert table.shape[0] == len(shapes.CLASSES)
    assert table.max() == pytest.approx(1.0)
    assert table.min() >= 0.0
    spectra = np.abs(np.fft.rfft(table, axis=1))[:, :20]  # the same for every turn
    apart = np.linalg.norm(spectra[:, None] - spectra[None], axis=-1)
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 5


def test_a_line_through_the_pixels_does_not_tell_the_classes_apart():
    """Colours and places say nothing of the class, so a linear classifier is near chance."""
    images = np.stack([shapes.draw(index, 16) for index in range(1200)]).reshape(1200, -1) / 255
    labels = np.array([shapes.label(index) for index in range(1200)])
    fitted = LogisticRegression(max_iter=50, tol=1e-2).fit(images[:960], labels[:960])

    assert fitted.score(images[960:], labels[960:]) < 0.2


def test_images_have_a_least_size():
    with pytest.raises(ValueError, match="at least 8 pixels"):
        shapes.draw(0, 7)


def test_masks_and_boxes_are_those_of_the_outline():
    """Where nothing is hidden, the picture without its outline differs within the mask."""
    image, mask = shapes.draw_with_mask(5, 64)

    assert np.array_equal(image, shapes.draw(5, 64))
    left, top, right, bottom = shapes.box(mask)
    assert mask[top:bottom, left:right].any(axis=0).all()
    assert mask.sum() == mask[top:bottom, left:right].sum() > 64
    with pytest.raises(ValueError, match="must hold a pixel to have a box"):
        shapes.box(np.zeros((4, 4), bool))
