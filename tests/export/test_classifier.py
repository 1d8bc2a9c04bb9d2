"""A Core ML classifier: its pictures, and the network's own weights in it."""

import json

import numpy as np
import torch

import repvit_nas
from repvit_nas.conversion.converter import coremltools
from repvit_nas.conversion.mil import read_package
from repvit_nas.export import classifier
from repvit_nas.export.records import read_export

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


def test_the_core_ml_package_takes_pictures_and_names_classes(run):
    specification = (
        coremltools().models.MLModel(str(run / "model.mlpackage"), skip_model_load=True).get_spec()
    )
    described = specification.description
    known = described.metadata.userDefined

    image = described.input[0].type.imageType
    assert (image.width, image.height) == (32, 32)
    assert described.predictedFeatureName == "classLabel"
    assert json.loads(known["repvit_nas.classes"])[3] == "pentagon"
    assert known["repvit_nas.weights_digest"] == read_export(run).digest
    (block,) = specification.mlProgram.functions["main"].block_specializations.values()
    kinds = [operation.type for operation in block.operations]
    assert kinds.count("classify") == 1
    # Stem 2, blocks 3 each (depthwise, FFN) and 2 more with SE, downsamples 2 and an FFN of 2.
    assert kinds.count("conv") == 2 + 8 * 3 + 4 * 2 + 3 * 4
    assert "batch_norm" not in kinds[kinds.index("conv") :]  # all are fused but the preprocessing


def test_the_interpreted_program_prepares_its_pictures_itself(run):
    program = read_package(run / "model.mlpackage")
    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    prepared = (pixels.numpy() / 255 - MEAN) / STD
    with torch.no_grad():
        scores = repvit_nas.load(run)(torch.from_numpy(prepared.astype(np.float32)))

    found = classifier.interpreted(program, pixels.float())

    assert np.abs(found - scores.softmax(1).numpy()).max() < 2e-3
