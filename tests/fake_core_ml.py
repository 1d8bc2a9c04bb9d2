"""A stand-in for what coremltools offers on a Mac: models that load, take their time, and tell plans."""

import json
import random
import types
import warnings
import weakref
from pathlib import Path

from repvit_nas.coreml.mac import Mac

MAC = Mac(model="Mac14,2", chip="Apple M2", version="15.5", build="24F74")


class MLNeuralEngineComputeDevice:
    pass


class MLCPUComputeDevice:
    pass


class MLGPUComputeDevice:
    pass


class FakeCoreMl:
    """Has the attributes of the module coremltools that timing needs; faults are attributes."""

    __version__ = "9.0"

    def __init__(
        self,
        *,
        noise=0.005,
        cold=0.8,
        cpu_below_ms=0.0,
        refuses="",
        silent=False,
        fails="",
        no_plan="",
    ):
        self.noise, self.cold, self.cpu_below_ms = noise, cold, cpu_below_ms
        self.refuses, self.silent = refuses, silent
        self.fails, self.no_plan = fails, no_plan  # what predictions and compute plans say instead
        self.rng = random.Random(1)
        self.live = weakref.WeakSet()
        self.most_live = 0
        self.loads = 0
        self.taken = []
        self.ComputeUnit = types.SimpleNamespace(CPU_AND_NE="CPU_AND_NE")
        plan = types.SimpleNamespace(load_from_path=self.plan)
        self.models = types.SimpleNamespace(
            MLModel=lambda path, compute_units: _Model(self, path, compute_units),
            compute_plan=types.SimpleNamespace(MLComputePlan=plan),
        )

    def plan(self, path, compute_units):
        assert path.endswith(".mlmodelc")
        assert compute_units == "CPU_AND_NE"
        if self.no_plan:
            raise RuntimeError(self.no_plan)
        return _Plan(json.loads(Path(path.removesuffix("c")).read_text()), self.cpu_below_ms)


class _Model:
    def __init__(self, tools, path, compute_units):
        assert compute_units == "CPU_AND_NE"
        self.tools, self.path = tools, Path(path)
        self.calls, self.last = 0, None
        self.latency = json.loads((self.path / "sim.json").read_text())["latency_ms"]
        if self.latency < tools.cpu_below_ms:
            self.latency *= 0.4
        if tools.refuses:
            # As coremltools does: a warning now, an exception at the first prediction.
            warnings.warn(
                "You will not be able to run predict() on this Core ML model. Underlying exception "
                f"message was: {tools.refuses}",
                RuntimeWarning,
                stacklevel=2,
            )
        tools.loads += 1
        tools.live.add(self)
        tools.most_live = max(tools.most_live, len(tools.live))

    def get_compiled_model_path(self):
        (self.path / "sim.mlmodel").write_text((self.path / "sim.json").read_text())
        return str(self.path / "sim.mlmodelc")

    def predict(self, taken):
        (image,) = taken.values()
        self.tools.taken.append((image.shape, str(image.dtype)))
        if self.tools.fails:
            raise RuntimeError(self.tools.fails)
        one = self.latency * (1 + self.tools.noise * abs(self.tools.rng.gauss(0, 1)))
        self.last = round(1e6 * one * (1 + self.tools.cold * 0.4**self.calls))
        self.calls += 1

    @property
    def last_predict_duration_in_nano_seconds(self):
        return None if self.tools.silent else self.last


class _Plan:
    def __init__(self, sim, cpu_below_ms):
        engine, cpu = MLNeuralEngineComputeDevice(), MLCPUComputeDevice()
        where = cpu if sim["latency_ms"] < cpu_below_ms else engine
        named = [("const", None), ("conv", where), ("gelu", where), ("add", where)]
        operations = [
            types.SimpleNamespace(
                outputs=[types.SimpleNamespace(name=f"{kind}_{n}")], device=device
            )
            for n, (kind, device) in enumerate(named)
        ]
        block = types.SimpleNamespace(operations=operations)
        program = types.SimpleNamespace(functions={"main": types.SimpleNamespace(block=block)})
        self.model_structure = types.SimpleNamespace(program=program)

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        if operation.device is None:
            return None
        return types.SimpleNamespace(preferred_compute_device=operation.device)

    def get_estimated_cost_for_mlprogram_operation(self, operation):
        return None if operation.device is None else types.SimpleNamespace(weight=0.25)
