from matplotlib.figure import Figure

from repvit_nas.latency_lut.table import NetworkRow
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.path_rows import draw_path, path_picture, path_rows
from repvit_nas.search_space.path import path_network

PREDICTOR = load_predictor("iphone12")[0]
TOLD = {"path_3_width": 0.9, "path_4_stem": 0.8}


def test_a_step_is_compared_with_the_one_it_is_from():
    found = path_rows(PREDICTOR, TOLD)
    rows = {row["step"]: row for row in found.documents()}

    assert round(rows["4"]["published_step_ms"], 6) == -0.1
    assert rows["4"]["predicted_step_ms"] == rows["4"]["latency_ms"] - rows["3"]["latency_ms"]
    assert rows["5"]["published_step_ms"] is None
    assert rows["4"]["latency_error"] == rows["4"]["latency_ms"] / 0.8 - 1
    assert "1 of 1 steps go the published way" in found.lines()[1]


def test_the_same_figures_are_drawn_to_the_same_bytes():
    found = path_rows(PREDICTOR, TOLD)

    assert path_picture(found) == path_picture(found)


def test_what_nothing_was_published_of_is_drawn_and_listed_as_predicted():
    found = path_rows(PREDICTOR, {})

    assert len(found.lines()) == 1
    assert {row[2] for row in found.grid().rows} == {""}
    # The order of the steps is known wherever nothing was timed.
    known = [row["step"] for row in found.documents() if row["predicted_step_ms"] is not None]
    assert known == list("123456789")
    assert path_picture(found).startswith(b"\x89PNG")


def test_a_picture_says_which_kinds_of_figures_it_holds():
    found = path_rows(load_predictor("cpu-epyc", foreign=True)[0], {})
    axes = Figure().subplots()
    draw_path(axes, found)

    _, labels = axes.get_legend_handles_labels()
    kinds = {row["source"] for row in found.documents()}
    assert len(kinds) > 1
    assert all(kind in labels[0] for kind in kinds)


def timed(step, latency_ms):
    """Return a step of the path as it was timed, known to 2 %."""
    spread = (0.01 * latency_ms, 0.98 * latency_ms, 1.02 * latency_ms)
    return NetworkRow(latency_ms, *spread, 3, role="held_out", architecture=path_network(step))


def test_predictions_are_compared_with_what_was_timed_where_that_was():
    found = path_rows(PREDICTOR, TOLD, [timed("3", 1.0), timed("4", 1.2)])
    rows = {row["step"]: row for row in found.documents()}

    assert rows["4"]["latency_error"] == rows["4"]["latency_ms"] / 1.2 - 1
    assert (rows["4"]["measured_low_ms"], rows["4"]["measured_high_ms"]) == (0.98 * 1.2, 1.02 * 1.2)
    assert round(rows["4"]["measured_step_ms"], 6) == 0.2
    assert round(rows["4"]["published_step_ms"], 6) == -0.1
    assert rows["5"]["measured_ms"] is None
    # The published way is down, the measured one up; predicted is down.
    assert "0 of 1 steps go the measured way" in found.lines()[1]
    headers = [column.header for column in found.grid().columns]
    assert headers.count("by the step") == 4
    assert "ms published" in headers
    assert path_picture(found) != path_picture(path_rows(PREDICTOR, TOLD))


def test_columns_of_nothing_are_left_out_of_a_device_that_was_timed():
    found = path_rows(PREDICTOR, {}, [timed("3", 1.0), timed("4", 1.2)])

    headers = [column.header for column in found.grid().columns]
    assert "ms published" not in headers
    assert "ms measured (90 %)" in headers
    assert headers.count("by the step") == 3
