"""What is shown of how far off a predictor is; the figures are those of the shipped files."""

import io
import json

import matplotlib.image
import pytest
from rich.console import Console
from support import ROOT

from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.validation import read_validation
from repvit_nas.report.tables import terminal
from repvit_nas.report.validation import validation_parts, validation_picture


def shipped(device):
    return ROOT / "predictors" / device / "validation.json"


def printed(device):
    screen = Console(file=io.StringIO(), width=140)
    for part in validation_parts(read_validation(shipped(device))):
        screen.print(*([part] if isinstance(part, str) else terminal(part, screen.width)))
    return screen.file.getvalue()


def test_a_modelled_device_shows_every_group_and_every_probe():
    """With what is known of its engine, with its rates left free, and where no fit looks."""
    tables, found, listed = [], json.loads(shipped("iphone12").read_text()), []
    for part in validation_parts(read_validation(shipped("iphone12"))):
        screen = Console(file=io.StringIO(), width=140)
        screen.print(*terminal(part, 140))
        tables.append(screen.file.getvalue())
    for table in tables:
        rows = [line.split("│") for line in table.splitlines() if "│" in line]
        listed.append({row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in rows})
    pinned, free, probes = listed

    for cells, summaries in ((pinned, found["summaries"]), (free, found["rates_free"])):
        for group, summary in summaries.items():
            count, *errors, coverage = summary.values()
            assert cells[group] == [str(count), *(f"{e:.1f}" for e in errors), f"{coverage:.0f}"]
    for probe in found["probes"]:
        assert probes[probe["title"]][:2] == [
            str(len(probe["checks"])),
            f"{probe['error_percent']:.1f}",
        ]
    assert probes["path of networks, never fitted"][3] == "9 of 9 in the right direction"


def test_a_measured_device_shows_scores_curve_and_noise_floor():
    text = printed("cpu-epyc")
    found = json.loads(shipped("cpu-epyc").read_text())

    for name, score in found["scores"].items():
        assert name in text
        assert f"{score['rmspe']:.2f}" in text
    assert "How many units does a new device need?" in text
    assert f"{found['noise_floor']:.2f} % RMSPE" in text


@pytest.mark.parametrize(("device", "panels"), [("iphone12", 1), ("cpu-epyc", 2)])
def test_the_picture_has_something_in_every_panel(device, panels):
    """Opened again, each panel has pixels that are not white: one, or two rows of two."""
    predictor, _ = load_predictor(device, foreign=True)
    picture = validation_picture(read_validation(shipped(device)), predictor)

    image = matplotlib.image.imread(io.BytesIO(picture))

    height, width = image.shape[0] // panels, image.shape[1] // panels
    for top in range(panels):
        for left in range(panels):
            panel = image[top * height :, left * width :, :3][:height, :width]
            assert (panel.min(axis=2) < 0.9).mean() > 0.02
