"""From what is known of a device to its fitted and validated predictor."""

import msgspec
import pytest
from simulated import OVERHEAD_MS, true_cost_ms

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.device import DeviceFile, RuntimeSpec, load_device
from repvit_nas.latency_lut.table import write_table
from repvit_nas.machine import machine
from repvit_nas.predictors.fit_device import fit_device, write_fitted
from repvit_nas.predictors.metrics import PREDICTOR
from repvit_nas.predictors.overview import overview
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family
from repvit_nas.units import count, rows


def truth(architecture):
    units = count(rows(architecture)).items()
    return OVERHEAD_MS + sum(times * true_cost_ms(unit) for unit, times in units)


def phone_in(folder, *, published):
    """Write a modelled phone of so many published rows, the iPhone 12's, under `folder`."""
    shipped = load_device("iphone12")
    home = folder / "latency_lut" / "iphone12"
    lines = shipped.path("published.csv").read_text().splitlines(keepends=True)
    files.write_json(home / "device.json", shipped.file)
    files.write_bytes(home / "published.csv", "".join(lines[: 1 + published]).encode())
    return load_device("iphone12")


def test_a_phone_of_a_few_published_rows_is_refused(elsewhere):
    phone = phone_in(elsewhere, published=11)

    with pytest.raises(RepvitNasError, match=r"published\.csv: 11 rows are too few.*at least 12"):
        fit_device(phone)


def test_a_phone_without_its_published_rows_is_refused(elsewhere):
    phone = phone_in(elsewhere, published=11)
    phone.path("published.csv").unlink()

    with pytest.raises(FileError, match=r"published\.csv: cannot be read"):
        fit_device(phone)


def test_a_modelled_device_that_nobody_made_assumptions_for_says_what_to_do(elsewhere):
    phone = phone_in(elsewhere, published=11)
    home = elsewhere / "latency_lut" / "watch"
    (elsewhere / "latency_lut" / "iphone12").rename(home)
    files.write_json(home / "device.json", msgspec.structs.replace(phone.file, device="watch"))

    with pytest.raises(RepvitNasError, match=r"no predictors/watch/assumptions\.json: copy"):
        fit_device(load_device("watch"))


def device_in(folder, table, **changes):
    """Write a measured device into the data folders under `folder`."""
    home = folder / "latency_lut" / "simulated"
    files.write_json(
        home / "device.json",
        DeviceFile(
            device="simulated",
            title="a simulated processor",
            kind="measured",
            circumstances=machine() | {"runtime": "simulated 1"} | changes,
            protocol=1,
            runtime=RuntimeSpec("onnxruntime"),
        ),
    )
    write_table(home / "table.json", table)
    return load_device("simulated")


def test_a_devices_folder_becomes_a_predictor(elsewhere, table):
    device = device_in(elsewhere, table)

    fitted = fit_device(device)
    write_fitted(elsewhere / "predictors" / "simulated", fitted, picture=b"png")

    predictor, found = load_predictor("simulated")
    assert not found.shipped
    assert predictor.model.fitted_on.observations == 92
    estimate = predictor.estimate(family()["repvit_m1_0"].architecture)
    assert estimate.latency_ms == pytest.approx(
        truth(family()["repvit_m1_0"].architecture), rel=0.05
    )
    # Its arrays are kept in single precision.
    ready = fitted.predictor.estimate(family()["repvit_m1_0"].architecture)
    assert estimate.latency_ms == pytest.approx(ready.latency_ms, rel=1e-5)
    assert sorted(path.name for path in (elsewhere / "predictors" / "simulated").iterdir()) == [
        "assumptions.json", "predictor.json", "residual.npz", "validation.json", "validation.png",
    ]  # fmt: skip
    assert {point.units for point in fitted.validation.curve} == {25, 50, 80}
    assert "iphone12" in fitted.validation.curve[0].transferred
    shown = {item.device: item for item in overview()}["simulated"]
    assert shown.left_out_percent == fitted.validation.scores[PREDICTOR].mape
    # Fitted again, with the assumptions that were written: the same, and nothing else is made.
    again = fit_device(device)
    assert again.file == fitted.file
    assert again.assumptions == b""


def test_another_machines_processor_is_refused(elsewhere, table):
    device = device_in(elsewhere, table, processor="Cray-1")
    fitted = fit_device(device)
    write_fitted(elsewhere / "predictors" / "simulated", fitted, picture=b"png")

    with pytest.raises(RepvitNasError, match=r"measured on Cray-1; this machine has .*--foreign"):
        load_predictor("simulated")
    predictor, _ = load_predictor("simulated", foreign=True)
    assert predictor.device == "simulated"


def test_an_accelerators_table_goes_anywhere(elsewhere, table):
    """Whose table it is cannot be told without the accelerator's library."""
    device = device_in(elsewhere, table, processor="Cray-1", accelerator="NVIDIA H200")

    device.refuse_foreign()


def test_a_predictor_of_other_figures_is_not_taken_for_this_ones(elsewhere, table):
    device = device_in(elsewhere, table)
    fitted = fit_device(device)
    write_fitted(elsewhere / "predictors" / "simulated", fitted, picture=b"png")
    load_predictor("simulated")

    less = msgspec.structs.replace(table, rows=table.rows[1:])
    write_table(elsewhere / "latency_lut" / "simulated" / "table.json", less)

    with pytest.raises(RepvitNasError, match=r"was not fitted to the figures.*repvit-nas fit"):
        load_predictor("simulated")


def test_another_devices_broken_files_do_not_stop_a_fit(elsewhere, table):
    device = device_in(elsewhere, table)
    other = elsewhere / "predictors" / "iphone12"
    other.mkdir(parents=True)
    (other / "predictor.json").write_text("{")

    fitted = fit_device(device)

    assert "iphone12" not in fitted.validation.curve[0].transferred


def test_another_phone_is_fitted_by_the_same_code(tmp_path):
    fitted = fit_device(load_device("iphone13"))

    write_fitted(tmp_path, fitted, picture=b"png")

    assert fitted.validation.summaries["repvit at 224 px"].in_sample_percent < 6.0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "predictor.json",
        "validation.json",
        "validation.png",
    ]
