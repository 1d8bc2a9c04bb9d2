"""Units of every kind as ONNX programs, and what they answer."""

import numpy as np
import onnxruntime

from repvit_nas.conversion.onnx import INPUT, OUTPUT, program_model
from repvit_nas.network.pieces import input_shape
from repvit_nas.path_units import ConvGelu, GatedDownsample, Inverted, Separated, WideHead
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem

ALL_KINDS = [
    Stem(24, 48),
    Block(24, 48, 0, 3, 14),
    Block(24, 60, 8, 5, 14),
    Block(32, 48, 8, 7, 9),
    Downsample(24, 40, 3, 15),
    Downsample(24, 40, 7, 14),
    Ffn(40, 80, 7),
    Head(40, 13, 7),
    ConvGelu(3, 16, 3, 2, 15),
    Inverted(16, 16, 16, 0, 3, 1, 14),
    Inverted(16, 64, 24, 16, 5, 2, 15),
    Inverted(24, 72, 24, 24, 3, 1, 9),
    Separated(24, 72, 40, 8, 5, 2, 15),
    Separated(24, 48, 40, 0, 3, 1, 9),
    GatedDownsample(24, 40, 8, 5, 15),
    WideHead(40, 80, 48, 13, 7),
]


def run(units, weights, image):
    built = program_model(units, weights, batch=len(image))
    options = onnxruntime.SessionOptions()
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in built.weights.values()]
    options.add_external_initializers(list(built.weights), values)
    session = onnxruntime.InferenceSession(
        built.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run([OUTPUT], {INPUT: image})[0]


def image_for(unit, seed=0, batch=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, *input_shape(unit)), dtype=np.float32)
