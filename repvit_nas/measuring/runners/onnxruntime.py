"""ONNX Runtime: on the CPU by default, on whatever its execution providers offer."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch

from repvit_nas.conversion.onnx import INPUT, OUTPUT, check, program_model
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.protocol import Calls
from repvit_nas.network.pieces import input_shape, random_weights
from repvit_nas.programs import Program
from repvit_nas.units import Unit, tapped

DEFAULT_PROVIDER: Final = "CPUExecutionProvider"
_NS_PER_MS: Final = 1e6


class OnnxRunner:
    """Times programs in ONNX Runtime."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self._spec = spec
        self._providers = [item for item in spec.target.split(",") if item] or [DEFAULT_PROVIDER]
        offered = onnxruntime.get_available_providers()
        for provider in self._providers:
            if provider not in offered:
                raise RepvitNasError(
                    f"--providers: {provider!r} is not offered by this onnxruntime; offered: "
                    f"{', '.join(offered)}"
                )
        self.on_caches = self._providers == [DEFAULT_PROVIDER]
        self._checked: set[Unit] = set()
        self._rng = np.random.default_rng(0)

    def circumstances(self) -> dict[str, str]:
        """Return runtime, versions, precision, threads and batch."""
        return {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "providers": ",".join(self._providers),
            "exporter": f"torch {torch.__version__.partition('+')[0]}, onnx {onnx.__version__}",
            "threads": str(self._spec.threads),
            "waiting": "blocked, not spinning",
            "precision": "fp32",
            "batch": str(self._spec.batch),
        }

    @contextmanager
    def load(self, program: Program) -> Iterator[Calls]:
        """Load a program; units that were not prepared are now."""
        units = program.sequence
        for unit in dict.fromkeys(tapped(units)[0]):
            self.prepare(unit)
        session, image = self._session(units, self._spec.batch)
        feed, wanted, batch = {INPUT: image}, None, self._spec.batch

        def calls(count: int) -> list[float]:
            series = []
            for _ in range(count):
                start = perf_counter_ns()
                session.run(wanted, feed)
                series.append((perf_counter_ns() - start) / _NS_PER_MS / batch)
            return series

        yield calls

    def _session(self, units: list[Unit], batch: int) -> tuple[Any, np.ndarray[Any, Any]]:
        seeds = itertools.count(1)
        weights = [random_weights(unit, next(seeds)) for unit in tapped(units)[0]]
        built = program_model(units, weights, batch)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._spec.threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the core from whatever else is measured.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in built.weights.values()]
        options.add_external_initializers(list(built.weights), values)
        session = onnxruntime.InferenceSession(
            built.model.SerializeToString(), options, providers=self._providers
        )
        shape = (batch, *input_shape(units[0]))
        return session, self._rng.standard_normal(shape, dtype=np.float32)

    def prepare(self, unit: Unit) -> None:
        """Export a unit and compare it with torch."""
        if unit in self._checked:
            return
        session, image = self._session([unit], 1)
        (produced,) = session.run([OUTPUT], {INPUT: image})
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, self._spec.threads))
        try:
            check(unit, produced, image, random_weights(unit, 1))
        finally:
            torch.set_num_threads(threads)
        self._checked.add(unit)


def make(spec: RuntimeSpec) -> OnnxRunner:
    """Return a runner.

    Raises:
        RepvitNasError: A provider is not offered, or the torch compiler was asked for.
    """
    if spec.compiled:
        raise RepvitNasError("--compile is for --runtime torch; onnxruntime optimises by itself")
    return OnnxRunner(spec)
