"""Reports as services print them, by the fields that their clients and Apple's tool are known to have."""

import json

IDENTIFIER = "00008101-000A1D2E3F4B5C6D"
CLOCK = "com.apple.dt.XCTMetric_Clock.time.monotonic"


def runlocal(samples=(0.87, 0.89), units="CPU_AND_NE", device=(), **more):
    """Return what `BenchmarkResult.model_dump_json()` of runlocal-hub 0.1.7 gives."""
    run = {
        "Success": True, "Status": "Complete", "ComputeUnit": units,
        "LoadMsArray": [120.5], "LoadMsAverage": 120.5, "LoadMsMedian": 120.5,
        "InferenceMsArray": list(samples), "InferenceMsAverage": 0.88, "InferenceMsMedian": 0.88,
        "PrefillTokens": None, "GenerationTokens": None, "PrefillTPS": None, "GenerateTPS": None,
        "PeakLoadRamUsage": 30.5, "PeakRamUsage": 31.0, "PeakPrefillRamUsage": None,
        "PeakGenerateRamUsage": None, "FailureReason": None, "FailureError": None, "Stdout": None,
        "Stderr": None, "OutputTensorsId": None, "Versions": None, "Settings": None,
    }  # fmt: skip
    phone = {
        "Name": "iPhone 12", "Year": 2020, "Soc": "Apple A14 Bionic", "Ram": 4, "OS": "iOS",
        "OSVersion": "17.5", "DiscreteGpu": None, "VRam": None,
    }  # fmt: skip
    return {"device": phone | dict(device), "benchmark_data": [run | more], "outputs": None}


def record(value=0.87, device=(), **more):
    """Return a record of a Melange report."""
    phone = {"name": "iPhone13,2", "marketing_name": "Apple iPhone 12", "soc": "A14", "os": "17.5"}
    return {
        "device": phone | dict(device), "ap_type": "npu", "variant": "v1", "precision": "fp16",
        "run": 0, "metric": "latency_ms", "value": value, "unit": "ms",
    } | more  # fmt: skip


def melange(*records):
    """Return a report of Melange: of several devices and processors, as its own schema has it."""
    others = (
        record(9.1, ap_type="cpu", precision="fp32"),
        record(0.5, {"name": "iPhone17,1", "marketing_name": "iPhone 16 Pro", "soc": "A18 Pro"}),
        record(40.2, metric="snr_db", unit="db"),
    )
    return {
        "derivation_version": 3, "model": {"key": "k", "version": 1},
        "records": [*(records or (record(), record(0.89, run=1))), *others], "summary": {},
    }  # fmt: skip


def metrics(method="test_12345678()", samples=(0.00087, 0.00089), unit="s", **more):
    """Return what `xcresulttool get test-results metrics` prints of a bundle with one test."""
    clock = {
        "displayName": "Clock Monotonic Time", "identifier": CLOCK, "unitOfMeasurement": unit,
        "measurements": list(samples), "polarity": "prefers smaller",
    }  # fmt: skip
    run = {
        "device": {"deviceId": IDENTIFIER, "deviceName": "Ada's phone"},
        "testPlanConfiguration": {
            "configurationId": "1",
            "configurationName": "Test Scheme Action",
        },
        "metrics": [clock | more],
    }
    return [{"testIdentifier": f"Programs/{method}", "testRuns": [run]}]


def summary(result="Passed", **device):
    """Return what `xcresulttool get test-results summary` prints of it."""
    phone = {
        "architecture": "arm64e", "deviceId": IDENTIFIER, "deviceName": "Ada's phone",
        "modelName": "iPhone 12", "osBuildNumber": "21F79", "osVersion": "17.5", "platform": "iOS",
    }  # fmt: skip
    return {
        "title": "Test - Programs", "result": result, "passedTests": 1,
        "devicesAndConfigurations": [{"device": phone | device, "passedTests": 1}],
    }  # fmt: skip


def write(path, document):
    """Write a document as JSON, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
