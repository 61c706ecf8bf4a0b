"""Devices by name."""

import pytest
import torch

from model_core.engine.device import cuda_devices, find_device


def test_the_devices_are_those_that_torch_can_use() -> None:
    assert cuda_devices() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((0, "cpu"), (2, "cuda:0")):
        monkeypatch.setattr("model_core.engine.device.cuda_devices", lambda count=count: count)
        assert find_device("auto") == expected
        assert find_device("cpu") == "cpu"
    assert [find_device(name) for name in ("cuda", "cuda:0", "cuda:1")] == [
        *("cuda:0", "cuda:0", "cuda:1")
    ]
    with pytest.raises(LookupError, match="no device cuda:2"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"])
def test_another_name_is_no_device(name: str) -> None:
    with pytest.raises(ValueError, match="there is no device"):
        find_device(name)
