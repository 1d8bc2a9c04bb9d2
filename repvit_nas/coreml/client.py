"""The file protocol of Apple's ModelRunner app: a message in, an answer out, both copied as files.

In the app's container lie `Documents/modelrunnerd/requests/resources/<id>/<name>` (a compiled model, or
an input tensor), `requests/messages/<id>/message.json` and `responses/<id>/message.json`. The app is
part of coremltools (BSD-3-Clause); what it answers is read here as it is, and nothing is run by a shell.
"""

import functools
import json
import math
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from repvit_nas.coreml.place import RefusedError
from repvit_nas.coreml.xcrun import COPY, Apple, Process, XcrunError, devicectl, temporary_file
from repvit_nas.errors import RepvitNasError

ROOT: Final = "Documents/modelrunnerd"
COMPUTE_UNITS: Final = "CPU_AND_NE"
_NS_PER_MS: Final = 1e6
_COPY_TRIES: Final = 3
_HALF_BYTES: Final = 2


class Waits(NamedTuple):
    """How long things may take, in seconds.

    Attributes:
        answer: Until an answer to a short message is there.
        load: Until a model is loaded: the first time it is compiled for the Neural Engine.
        poll: Between two looks.
        copy: One copy.
    """

    answer: float = 90.0
    load: float = 300.0
    poll: float = 0.3
    copy: float = COPY


class ModelRunner:
    """Talks to the app on one device.

    Args:
        apple: Apple's tools.
        device: The device's identifier.
        bundle: The app's identifier.
        app: The app as it runs; if it ends, nothing is waited for.
        waits: How long things may take.
        clock: Seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        apple: Apple,
        device: str,
        bundle: str,
        app: Process,
        *,
        waits: Waits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._apple = apple
        self._device = device
        self._bundle = bundle
        self._app = app
        self._waits = waits or Waits()
        self._clock = clock
        self._sleep = sleep

    def load(self, compiled: Path) -> tuple[str, float]:
        """Load a compiled model; return its identifier and the milliseconds that took.

        Raises:
            RepvitNasError: The device refuses the model, the app died, or nothing is answered.
        """
        model = str(uuid.uuid4())
        answer = self.call(
            "Load",
            {"modelID": model, "computeUnits": COMPUTE_UNITS, "name": compiled.name},
            compiled,
            within=self._waits.load,
        )
        return model, _milliseconds(answer, "duration")

    def plan(self, model: str) -> list[tuple[str, str, float | None]]:
        """Return name, preferred processor and cost of each operation of a loaded model.

        Raises:
            RepvitNasError: As for `load`.
        """
        answer = self.call("ComputePlan", {"modelID": model})
        try:
            return [
                (
                    str(info["path"]["components"][-1]["programOperation"]["data"]["outputName"]),
                    str(next(iter(info["deviceUsage"]["preferred"]))),
                    info.get("estimatedCost"),
                )
                for info in answer["infos"]
            ]
        except (KeyError, IndexError, TypeError, StopIteration) as error:
            raise RepvitNasError(
                f"the app's compute plan is not as known ({error!r}); this coremltools' ModelRunner is "
                "too new or too old: coremltools 9 is known to work"
            ) from error

    def predict(
        self, model: str, name: str, shape: Sequence[int], *, warm_up: int, calls: int
    ) -> tuple[list[float], bool]:
        """Run a loaded model; return milliseconds, and whether they are of one warm loop.

        The app as Apple ships it runs one call a message and does not know of loops.

        Args:
            model: Its identifier.
            name: Of its input.
            shape: Of its input.
            warm_up: Calls before those that are timed.
            calls: Calls to time.

        Raises:
            RepvitNasError: As for `load`.
        """
        size = _HALF_BYTES * math.prod(shape)
        strides = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
        tensor = {
            "dataType": "Float16",
            "shape": list(shape),
            "strides": strides,
            "storage": {"offset": 0, "size": size},
        }
        parameters = {
            "modelID": model,
            "computeUnits": COMPUTE_UNITS,
            "inputs": {name: tensor},
            "iterations": calls,
            "warmup": warm_up,
        }
        with temporary_file(".bin") as path:
            path.write_bytes(_image(tuple(shape)))
            answer = self.call("Prediction", parameters, path)
        durations = answer.get("durations")
        if isinstance(durations, list) and durations:
            return [_milliseconds({"duration": value}, "duration") for value in durations], True
        return [_milliseconds(answer, "duration")], False

    def unload(self, model: str) -> None:
        """Unload a model: the app never does so by itself.

        Raises:
            RepvitNasError: As for `load`.
        """
        self.call("Unload", {"modelID": model, "computeUnits": COMPUTE_UNITS})

    def call(
        self,
        method: str,
        parameters: dict[str, Any],
        resource: Path | None = None,
        *,
        within: float | None = None,
    ) -> dict[str, Any]:
        """Send a message and wait for its answer.

        Raises:
            RepvitNasError: The app died, answers an error or nothing in time, or a copy failed.
        """
        identifier = str(uuid.uuid4())
        message: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": identifier,
            "method": f"MLModelService.{method}",
            "params": parameters,
        }
        if resource is not None:
            message["resource"] = resource.name
            self._copy(
                "to", str(resource), f"{ROOT}/requests/resources/{identifier}/{resource.name}"
            )
        with temporary_file() as path:
            path.write_text(json.dumps(message))
            self._copy("to", str(path), f"{ROOT}/requests/messages/{identifier}/message.json")
        answer = self._answer(method, identifier, within or self._waits.answer)
        error = answer.get("error")
        if error:
            text = error.get("message") if isinstance(error, dict) else error
            raise RefusedError(f"the device refused {method}: {text}")
        result = answer.get("result")
        if not isinstance(result, dict):
            raise RepvitNasError(f"the app's answer to {method} has no result: {str(answer)[:200]}")
        return result

    def _answer(self, method: str, identifier: str, within: float) -> dict[str, Any]:
        """Look for an answer until it is whole."""
        end = self._clock() + within
        torn = False
        source = f"{ROOT}/responses/{identifier}/message.json"
        while True:
            try:
                with temporary_file() as path:
                    self._copy("from", source, str(path), tries=1)
                    answer = json.loads(path.read_bytes())
            except XcrunError:
                self._check_alive(method)
            except (OSError, ValueError, RecursionError):
                torn = True  # the app was still writing
            else:
                if isinstance(answer, dict):
                    return answer
                torn = True
            if self._clock() > end:
                what = "only a torn answer" if torn else "no answer"
                raise RepvitNasError(
                    f"{what} to {method} within {within:g} s: is the device unlocked and the app in "
                    "front? the same command goes on where this one stopped"
                )
            self._sleep(self._waits.poll)

    def _copy(self, way: str, source: str, destination: str, tries: int = _COPY_TRIES) -> None:
        words = [
            "device", "copy", way, "--device", self._device, "--source", source, "--destination",
            destination, "--user", "mobile", "--domain-type", "appDataContainer",
            "--domain-identifier", self._bundle,
        ]  # fmt: skip
        for left in reversed(range(tries)):
            try:
                devicectl(self._apple, words, self._waits.copy)
            except XcrunError as error:
                if left:
                    self._check_alive("copying")
                    self._sleep(self._waits.poll)
                    continue
                if way == "to":
                    raise XcrunError(
                        f"copying to the device failed {tries} times: {error.said or error}; is the "
                        "cable in? the same command goes on where this one stopped",
                        error.said,
                    ) from error
                raise
            else:
                return

    def _check_alive(self, doing: str) -> None:
        code = self._app.poll()
        if code is not None:
            raise RepvitNasError(
                f"the runner app on the device ended (code {code}) during {doing}; the same command "
                f"starts it again and goes on. It said: {self._app.said().strip()[-200:] or 'nothing'}"
            )


@functools.lru_cache(maxsize=16)
def _image(shape: tuple[int, ...]) -> bytes:
    """Return a random input in half precision; zeros might be computed faster."""
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return drawn.astype(np.float16).tobytes()


def _milliseconds(answer: dict[str, Any], field: str) -> float:
    value = answer.get(field)
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise RepvitNasError(f"the app must answer `{field}` in nanoseconds above 0; got {value!r}")
    return value / _NS_PER_MS
