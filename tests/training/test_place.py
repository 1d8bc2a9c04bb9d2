"""On what a run is computed."""

import pytest
import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.loading import World
from repvit_nas.training.place import find_device, find_precision, processes, reading_workers


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(RepvitNasError, match="--device tpu9: is not here"):
        find_device("tpu9")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("auto", "fp32"), ("off", "fp32"), ("fp32", "fp32"), ("bf16", "bf16"), ("fp16", "fp16")],
)
def test_numbers_on_a_processor_are_single_precision_unless_asked(name, expected):
    assert find_precision(name, "cpu") == expected


def test_other_numbers_are_refused():
    with pytest.raises(RepvitNasError, match="--amp must be auto, bf16, fp16 or off; got 'int4'"):
        find_precision("int4", "cpu")


def test_without_torchrun_there_is_one_process():
    with processes("cpu") as (device, world):
        assert device == torch.device("cpu")
        assert (world.rank, world.processes) == (0, 1)


def test_a_processor_reads_its_images_itself_unless_asked():
    assert reading_workers(None, torch.device("cpu"), World()) == 0
    assert reading_workers(3, torch.device("cpu"), World()) == 3
