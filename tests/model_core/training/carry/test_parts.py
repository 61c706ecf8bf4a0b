"""Tensors come back from their parts as they were, and only from all of the right ones."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_core.checkpoints.files import read_metadata
from model_core.errors import WeightsError
from model_core.training.carry.parts import read_parts, write_parts


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "half": torch.randn(37, 11).half(),
        "scalar": torch.tensor(3.0),
        "full": torch.randn(5, 2, 40),
        "empty": torch.zeros(0, 3),
        "odd": torch.randn(123).half(),
        "transposed": torch.randn(6, 7).t(),
    }


SAID = {"step": 3, "rates": [0.1, 1e-300], "name": None}


@pytest.mark.parametrize("largest", [300, 1000, 10**6])
def test_they_come_back_in_any_order(tmp_path: Path, largest: int) -> None:
    paths = write_parts(tensors(), SAID, tmp_path, "run", largest)
    count = len(paths)
    assert [p.name for p in paths] == [f"run-{i + 1}-of-{count}.safetensors" for i in range(count)]
    assert count == {300: 10, 1000: 3, 10**6: 1}[largest]
    for path in paths:
        values = load_file(path).values()
        assert sum(t.numel() * t.element_size() for t in values) <= largest + 16
    found, said = read_parts(paths[::-1])
    assert said == SAID
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_names_of_files_do_not_matter(tmp_path: Path) -> None:
    paths = write_parts(tensors(), SAID, tmp_path, "run", 1000)
    moved = [path.rename(tmp_path / f"{i}.bin") for i, path in enumerate(paths)]
    assert read_parts(moved)[1] == SAID


def test_missing_twice_and_mixed_up_parts_are_refused(tmp_path: Path) -> None:
    paths = write_parts(tensors(), SAID, tmp_path / "a", "run", 1000)
    others = write_parts(tensors(), SAID | {"step": 4}, tmp_path / "b", "run", 1000)
    with pytest.raises(WeightsError, match="number 2 is missing"):
        read_parts([paths[0], paths[2]])
    with pytest.raises(WeightsError, match="same part"):
        read_parts([*paths, paths[1]])
    with pytest.raises(WeightsError, match="different packs"):
        read_parts([paths[0], others[1], paths[2]])
    with pytest.raises(WeightsError, match="no parts"):
        read_parts([])


def test_every_changed_byte_of_a_value_is_found(tmp_path: Path) -> None:
    (path,) = write_parts({"a": torch.arange(6.0)}, SAID, tmp_path, "run")
    whole = path.read_bytes()
    for place in range(len(whole) - 24, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(WeightsError, match="checksum"):
            read_parts([path])


def test_what_is_said_cannot_be_changed_either(tmp_path: Path) -> None:
    (path,) = write_parts({"a": torch.arange(6.0)}, SAID, tmp_path, "run")
    metadata = read_metadata(path)
    changed = json.loads(metadata["label"])
    changed["description"]["step"] = 5
    save_file(load_file(path), path, metadata | {"label": json.dumps(changed)})
    with pytest.raises(WeightsError, match="checksum"):
        read_parts([path])
    save_file({"b": torch.arange(6.0)}, path, metadata)
    with pytest.raises(WeightsError, match="checksum"):
        read_parts([path])


@pytest.mark.parametrize("content", ["garbage", "cut", "foreign", "gone", "label", "place"])
def test_what_is_no_part_is_refused(tmp_path: Path, content: str) -> None:
    (path,) = write_parts({"a": torch.arange(600.0)}, SAID, tmp_path, "run")
    metadata = read_metadata(path)
    if content == "garbage":
        path.write_bytes(b"\xff" * 100)
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif content == "foreign":
        save_file({"a": torch.zeros(3)}, path, {"format": "pt"})
    elif content == "gone":
        path.unlink()
    elif content == "label":
        del metadata["label"]
        save_file({"a": torch.zeros(3)}, path, metadata)
    else:
        save_file({"a": torch.zeros(3)}, path, metadata | {"place": '{"part": 7, "digests": []}'})
    with pytest.raises(WeightsError, match="run-1-of-1"):
        read_parts([path])
