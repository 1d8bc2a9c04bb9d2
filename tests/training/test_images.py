import io

import numpy as np
import pytest
from PIL import Image

from repvit_nas.training.images import UndecodableError, judge, read_image, upright_rgb
from repvit_nas.training.loading import Prepared

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def grey_of(image):
    pixels = np.asarray(image)
    assert image.mode == "RGB"
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_stands_as_its_camera_was_held(tmp_path, orientation):
    """https://github.com/huggingface/datasets/issues/6252: the values are those of EXIF 2.32."""
    upright = np.zeros((16, 24, 3), dtype=np.uint8)
    upright[:8, :12] = 255  # white at the top left
    # What a camera stores so that a viewer that turns it shows `upright`.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("photo.jpg", "photo.png", "photo.webp"):
        options = {"exif": exif} | ({"lossless": True} if name.endswith("webp") else {})
        path = saved(tmp_path / name, Image.fromarray(np.ascontiguousarray(stored)), **options)
        shown = np.asarray(read_image(path)).astype(int)

        assert shown.shape == upright.shape
        assert np.abs(shown - upright).max() < 40  # JPEG's own loss


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's own word of it
def test_a_damaged_tag_turns_nothing(tmp_path):
    path = saved(tmp_path / "1.jpg", Image.fromarray(RAMP), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")

    assert read_image(path).size == (16, 16)


def test_sixteen_bits_keep_their_range(tmp_path):
    """https://github.com/python-pillow/Pillow/issues/2574 and .../issues/3011."""
    deep = RAMP.astype(np.uint16) * 257
    for name in ("1.png", "1.tif"):
        assert (grey_of(read_image(saved(tmp_path / name, Image.fromarray(deep)))) == RAMP).all()
    # A TIFF of big-endian numbers: https://github.com/python-pillow/Pillow/issues/5991.
    big = Image.frombytes("I;16B", (16, 16), deep.astype(">u2").tobytes())
    assert (grey_of(read_image(saved(tmp_path / "b.tif", big))) == RAMP).all()
    (tmp_path / "1.pgm").write_bytes(b"P5 16 16 65535\n" + deep.astype(">u2").tobytes())
    assert (grey_of(read_image(tmp_path / "1.pgm")) == RAMP).all()
    dark = Image.fromarray(np.full((4, 4), 257, dtype=np.uint16))  # stays dark
    assert (grey_of(read_image(saved(tmp_path / "d.png", dark))) == 1).all()


@pytest.mark.parametrize("white", [1, 255, 65_535])
def test_floats_reach_to_what_holds_them(tmp_path, white):
    values = Image.fromarray((RAMP * (white / 255)).astype(np.float32))

    assert (grey_of(read_image(saved(tmp_path / "1.tif", values))) == RAMP).all()


@pytest.mark.parametrize("value", [-1.0, 1e9, float("nan"), float("inf")])
def test_numbers_without_a_white_are_no_image(tmp_path, value):
    values = np.full((4, 4), value, dtype=np.float32)

    with pytest.raises(UndecodableError, match="must lie within"):
        read_image(saved(tmp_path / "1.tif", Image.fromarray(values)))


def test_what_is_transparent_is_white_in_every_mode(tmp_path):
    alpha = np.zeros((4, 4), dtype=np.uint8)
    alpha[:2] = 255
    colour = Image.new("RGB", (4, 4), (200, 100, 50))
    colour.putalpha(Image.fromarray(alpha))
    grey = Image.merge("LA", [Image.new("L", (4, 4), 90), Image.fromarray(alpha)])
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 100, 50, 0, 0, 0])
    palette.paste(1, (0, 2, 4, 4))

    for name, image, options, shown in (
        ("rgba.png", colour, {}, (200, 100, 50)),
        ("la.png", grey, {}, (90, 90, 90)),
        ("p.png", palette, {"transparency": 1}, (200, 100, 50)),
        ("p.gif", palette, {"transparency": 1}, (200, 100, 50)),
    ):
        found = read_image(saved(tmp_path / name, image, **options))
        assert found.getpixel((0, 0)) == shown, name
        assert found.getpixel((0, 3)) == (255, 255, 255), name


def test_other_modes_keep_what_they_show(tmp_path):
    bits = Image.fromarray(RAMP).convert("1", dither=Image.Dither.NONE)
    assert set(np.unique(grey_of(read_image(saved(tmp_path / "1.png", bits))))) == {0, 255}
    assert (grey_of(read_image(saved(tmp_path / "l.png", Image.fromarray(RAMP)))) == RAMP).all()
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    for name in ("c.tif", "c.jpg"):
        red, green, blue = read_image(saved(tmp_path / name, ink)).getpixel((0, 0))
        assert red > 240, name
        assert max(green, blue) < 20, name
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (255, 128, 128)])
    assert min(upright_rgb(lab).getpixel((0, 0))) > 250  # L* of 100 is white
    first = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    animated = saved(tmp_path / "a.gif", first[0], save_all=True, append_images=first[1:])
    assert read_image(animated).getpixel((0, 0)) == (255, 0, 0)


def test_an_upright_rgb_image_is_left_as_it_is():
    image = Image.fromarray(np.dstack([RAMP] * 3))

    assert upright_rgb(image) is image
    assert np.asarray(Prepared(np.asarray)(image)).shape == (16, 16, 3)


def test_a_file_is_judged_by_its_content(tmp_path):
    good = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(
        good, "png"
    )
    for name, content, begun, whole in (
        ("a.png", good.getvalue(), "image", "image"),
        ("noname", good.getvalue(), "image", "image"),
        ("half.png", good.getvalue()[:200], "image", "broken"),
        ("empty.jpg", b"", "broken", "broken"),
        ("notes.txt", b"hello", "other", "other"),
        ("paper.pdf", b"%PDF-1.7", "other", "other"),
        ("movie.mpg", b"\0\0\1\xb3\x10\0\x10\0", "other", "other"),
        ("table.h5", b"\x89HDF\r\n\x1a\n" + bytes(64), "other", "other"),
    ):
        (tmp_path / name).write_bytes(content)
        assert judge(tmp_path / name, whole=False) == begun, name
        assert judge(tmp_path / name, whole=True) == whole, name
