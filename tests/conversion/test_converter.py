import threading

import numpy as np
import torch
from torch import nn

from repvit_nas.conversion.converter import converted, coremltools, save
from repvit_nas.conversion.package import package_digest


def convolution(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Conv2d(3, 4, 3).eval()


def unit_interface():
    tools = coremltools()
    half = np.float16
    return {
        "inputs": [tools.TensorType(name="image", shape=(1, 3, 8, 8), dtype=half)],
        "outputs": [tools.TensorType(name="output", dtype=half)],
    }


def picture_interface():
    tools = coremltools()
    return {"inputs": [tools.ImageType(name="image", shape=(1, 3, 8, 8))]}


def test_programs_and_classifiers_take_turns_on_threads(tmp_path):
    """coremltools keeps what it converts in global state; here each waits for the other."""
    digests, errors = {}, []
    modules = [convolution(0) for _ in range(4)]  # threads share torch's random numbers, too

    def convert(number):
        try:
            interface = unit_interface() if number % 2 else picture_interface()
            save(converted(modules[number], (1, 3, 8, 8), **interface), tmp_path / f"{number}")
            digests[number] = package_digest(tmp_path / f"{number}")
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=convert, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert digests[0] == digests[2] != digests[1] == digests[3]


def test_a_package_says_what_it_is_told_to_and_nothing_of_when(tmp_path):
    package = tmp_path / "p.mlpackage"
    model = converted(convolution(0), (1, 3, 8, 8), **unit_interface())

    save(model, package, title="a layer", known={"b": "2", "a": "1"})
    first = package_digest(package)
    save(model, package, title="a layer", known={"a": "1", "b": "2"})

    assert package_digest(package) == first
    found = coremltools().models.MLModel(str(package), skip_model_load=True)
    assert found.short_description == "a layer"
    assert dict(found.user_defined_metadata) == {"a": "1", "b": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["p.mlpackage"]


def test_a_package_that_is_opened_keeps_its_bytes(tmp_path):
    """coremltools rewrites the manifest of a package that it opens, in the order of identifiers."""
    for seed in range(6):
        package = tmp_path / f"{seed}.mlpackage"
        save(converted(convolution(seed), (1, 3, 8, 8), **unit_interface()), package)
        before = package_digest(package)

        coremltools().models.MLModel(str(package), skip_model_load=True)

        assert package_digest(package) == before
