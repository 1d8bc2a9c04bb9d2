import numpy as np
import pytest
from PIL import Image
from torch.utils.data import IterableDataset

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.kept import kept
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8)):
        for label in ("cat", "dog"):
            for number in range(count // 2):
                path = tmp_path / "pets" / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pets"


def test_a_network_learns_the_same_from_images_that_are_kept(folder, tmp_path, asking):
    asked = asking(DataSpec(name=str(folder)), classes=2, epochs=2, batch=8)
    plain = train(asked, tmp_path / "plain").outcome
    opened = kept(open_data(asked.data))

    first = train(asked, tmp_path / "first", opened=opened).outcome
    again = train(asked, tmp_path / "again", opened=opened).outcome

    assert first.weights_digest == again.weights_digest == plain.weights_digest


def test_an_image_is_read_once(folder):
    opened = kept(open_data(DataSpec(name=str(folder))))
    before = np.asarray(opened.val[0][0])
    for path in folder.rglob("*.png"):
        path.unlink()

    assert np.array_equal(np.asarray(opened.val[0][0]), before)
    with pytest.raises(RepvitNasError, match=r"dog.*: cannot be decoded"):
        opened.val[7]


def test_images_that_come_in_their_own_order_stay_as_they_are(folder):
    class Streamed(IterableDataset):
        def __iter__(self):
            return iter(())

    opened = open_data(DataSpec(name=str(folder)))
    streamed = Streamed()

    found = kept(opened._replace(train=streamed))

    assert found.train is streamed
    assert len(found.val) == len(opened.val)
