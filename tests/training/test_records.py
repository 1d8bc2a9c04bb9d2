"""What a training run is asked, and what it leaves."""

import msgspec
import pytest
from training_support import small_asked

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.records import (
    TRAINING_FILE,
    TrainFile,
    WrittenFile,
    differences,
    file_digest,
    is_training_run,
    read_training,
)


def run_in(folder):
    record = TrainFile(
        command="repvit-nas train x", asked=small_asked(), classes=("a", "b"), versions={},
        machine={},
    )  # fmt: skip
    files.write_json(folder / TRAINING_FILE, record)
    return record


def test_a_folder_is_a_run_by_its_record_alone(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert not is_training_run(tmp_path)
    with pytest.raises(RepvitNasError, match="holds no training run; repvit-nas train makes one"):
        read_training(tmp_path)

    record = run_in(tmp_path)

    assert is_training_run(tmp_path)
    assert read_training(tmp_path) == record


def test_a_file_is_held_to_the_digest_it_was_written_with(tmp_path):
    path = tmp_path / "w"
    assert file_digest(path) == ""
    path.write_bytes(b"abc")
    written = file_digest(path)

    WrittenFile.of(path, written).check()
    WrittenFile.of(path, "").check()  # an older version wrote none
    path.write_bytes(b"abd")
    with pytest.raises(FileError, match=f"is not what was written: .*the run says {written}"):
        WrittenFile.of(path, written).check()
    path.unlink()
    with pytest.raises(FileError, match="its digest is of no file"):
        WrittenFile.of(path, written).check()


def test_a_folder_where_a_file_should_be_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        file_digest(tmp_path)


def test_two_runs_differ_by_the_values_they_differ_in():
    asked = small_asked()
    stage = msgspec.structs.replace(asked.architecture.stages[2], width=40)
    stages = (*asked.architecture.stages[:2], stage, *asked.architecture.stages[3:])
    other = msgspec.structs.replace(
        asked,
        seed=7,
        recipe=msgspec.structs.replace(asked.recipe, lr=0.5),
        architecture=msgspec.structs.replace(asked.architecture, stages=stages),
    )

    assert differences(asked, asked) == []
    assert differences(asked, other) == [
        "architecture.stages[2].width 32 -> 40",
        "recipe.lr 0.02 -> 0.5",
        "seed 0 -> 7",
    ]
