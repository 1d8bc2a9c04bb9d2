import io

from PIL import Image

from repvit_nas.report.training import curves_picture, family_picture
from repvit_nas.training.records import EpochRow


def row(epoch, ema_top1):
    return EpochRow(
        epoch=epoch,
        updates=epoch,
        lr=0.1,
        train_loss=1 / epoch,
        loss=2 / epoch,
        top1=50.0,
        top5=90.0,
        ema_top1=ema_top1,
    )


def test_curves_are_drawn_with_and_without_an_average():
    for averaged in (None, 60.0):
        picture = curves_picture([row(1, averaged), row(2, averaged)], "a run")

        with Image.open(io.BytesIO(picture)) as drawn:
            assert drawn.width > drawn.height > 100


def test_networks_are_drawn_beside_each_other():
    points = {"variant": [(1.0, 80.0), (1.0, 80.4)], "M1.0": [(1.1, 79.0)]}

    with Image.open(io.BytesIO(family_picture(points, "ms"))) as drawn:
        assert drawn.format == "PNG"
