"""What all training commands do before they train."""

import argparse
from pathlib import Path

import pytest
import torch

from model_core.errors import SettingsError
from model_core.training.run_arguments import run_device


def test_two_commands_do_not_train_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = argparse.Namespace(run=run, device="cpu", threads=torch.get_num_threads())
    with run_device(arguments) as device:
        assert device.type == "cpu"
        with pytest.raises(SettingsError, match="another command"), run_device(arguments):
            pytest.fail("both have it")
    assert not run.exists(), "nothing came to be in it"
    with run_device(arguments):
        (run / "state.pt").touch()
    with run_device(arguments):
        assert (run / "state.pt").exists()
