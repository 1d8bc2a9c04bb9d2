"""A trained network beside the reference family."""

import msgspec

from repvit_nas.checking.beside import beside
from repvit_nas.checking.family import members
from repvit_nas.files import write_json
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import published_of
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.training.records import TRAINING_FILE, read_training
from repvit_nas.training.trained import trained_run


def test_published_figures_stand_beside_a_run_of_their_own_input(run):
    record = read_training(run)
    at_home = msgspec.structs.replace(record.asked.architecture, resolution=224, num_classes=1000)
    asked = msgspec.structs.replace(record.asked, architecture=at_home)
    write_json(run / TRAINING_FILE, msgspec.structs.replace(record, asked=asked))
    predictor, published = load_predictor("iphone12")[0], published_of(load_device("iphone12"))

    row = beside(trained_run(run), members(trained_run(run)), predictor, published).family[0]

    # Published: 0.87 ms, and 78.74 % at best in the log of 300 distilled epochs.
    assert (row.published_ms, row.published_top1) == (0.87, 78.74)


def test_weights_of_fewer_bits_are_modelled_of_every_network(run):
    predictor, trained = load_predictor("iphone12")[0], trained_run(run)

    found = beside(trained, members(trained), predictor, (), (8, 4))

    assert list(found.variant.fewer_bits_ms) == ["8", "4"]
    for row in found.family:
        assert row.latency_ms > row.fewer_bits_ms["8"] > row.fewer_bits_ms["4"]
