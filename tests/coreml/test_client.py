"""The app's file protocol: Apple's own client agrees with ours, and no answer is waited for in vain."""

import asyncio
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cable import said_in_time
from fake_apple import BIN, PHONE, FakeApple, app_source, simulated_package

from repvit_nas.conversion.converter import coremltools
from repvit_nas.coreml.app import Phone
from repvit_nas.coreml.building import build
from repvit_nas.coreml.xcrun import Xcrun, tool
from repvit_nas.latency_lut.placement import placement
from repvit_nas.programs import chain
from repvit_nas.units import Ffn


@pytest.fixture
def apples():
    """The private parts of coremltools that speak to the app; they may move."""
    coremltools()
    remote = pytest.importorskip("coremltools.models.ml_program.experimental.remote_device")
    names = (
        "Device", "DeviceType", "DeviceState", "_AppSession", "_AppInstallationInfo",
        "_DeviceCtlSocket", "_DeviceCtlRemoteService", "_RemoteMLModelService",
    )  # fmt: skip
    if not all(hasattr(remote, name) for name in names):
        pytest.skip("coremltools' private names have moved")
    return remote


@pytest.mark.slow
def test_both_clients_read_the_same_of_the_same_phone(apples, tmp_path, monkeypatch):
    home, tools = tmp_path / "apple", tmp_path / "tools"
    FakeApple(home, noise=0.0, cold=0.0, cpu_ops=["gelu"])
    tools.mkdir()
    # Apple's client calls devicectl without xcrun.
    (tools / "devicectl").write_text(f'#!/bin/sh\nexec "{BIN}/xcrun" devicectl "$@"\n')
    (tools / "devicectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_APPLE_HOME", str(home))
    apple = Xcrun(BIN / "xcrun")
    built = build(apple, PHONE, tmp_path / "b", team="T", source=app_source(tmp_path / "source"))
    program = chain(Ffn(16, 32, 8), 4)
    simulated_package(program, tmp_path / "p.mlpackage")
    tool(apple, ["coremlcompiler", "compile", str(tmp_path / "p.mlpackage"), str(tmp_path)])
    compiled = tmp_path / "p.mlmodelc"
    phone = Phone(apple, PHONE, built)
    phone.start()
    process = subprocess.Popen(["sleep", "60"])  # stands for the app's console
    try:
        client = phone.client()
        model, loaded_ms = client.load(compiled)
        (ours,), _ = client.predict(model, "image", (1, 16, 8, 8), warm_up=0, calls=1)
        plan = client.plan(model)
        client.unload(model)

        (listed,) = apples.Device.get_connected_devices(apples.DeviceType.IPHONE)
        theirs = asyncio.run(_apples(apples, listed, compiled, tmp_path, process))
    finally:
        phone.stop()
        process.kill()
        process.wait()

    assert listed.udid == PHONE.udid
    assert theirs["load_ns"] / 1e6 == loaded_ms
    assert theirs["predict_ns"] / 1e6 == ours
    assert theirs["preferred"] == [processor for _, processor, _ in plan]
    assert placement("", plan).elsewhere == ("gelu_2",)


async def _apples(remote, listed, compiled, folder, process):
    """Load, predict and read the plan with Apple's client."""
    import dataclasses

    info = remote._AppInstallationInfo("org.repvit-nas.modelrunner.t", "AAAA")
    working = Path(folder) / "apples"
    working.mkdir()
    session = remote._AppSession(listed, process, info, working)
    device = dataclasses.replace(listed, session=session)
    socket = remote._DeviceCtlSocket(device, "Documents/modelrunnerd")
    service = remote._DeviceCtlRemoteService(socket, poll_time=0.05)
    model = remote._RemoteMLModelService(service, compiled, coremltools().ComputeUnit.CPU_AND_NE)
    await model.load()
    await model.predict({"image": np.zeros((1, 16, 8, 8), np.float16)})
    plan = await model.retrieve_compute_plan()
    names = {"CPUDevice": "cpu", "NeuralEngineDevice": "neuralEngine", "GPUDevice": "gpu"}
    preferred = [names[type(item.device_usage.preferred).__name__] for item in plan.infos.values()]
    found = {
        "load_ns": model.load_duration_in_nano_seconds,
        "predict_ns": model.last_predict_duration_in_nano_seconds,
        "preferred": preferred,
    }
    await model.unload()
    return found


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"copy_to_fail_on": [-1]}, "copying to the device failed 3 times.*is the cable in"),
        ({"answer_never": True}, "no answer to Load within 0.3 s"),
        ({"truncated_answers": 10**6}, "only a torn answer to Load within 0.3 s"),
        ({"dies_after_messages": 5}, "runner app on the device ended.*starts it again and goes on"),
        (
            {"load_error": "Failed to build the model execution plan"},
            "refused Load: Failed to build",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_answer_that_does_not_come_is_said_in_time(tmp_path, faults, said):
    said_in_time(FakeApple(tmp_path / "apple", **faults), tmp_path, said)
