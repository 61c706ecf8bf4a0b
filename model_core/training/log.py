"""The output of a run: a progress bar, `log.jsonl` and, if installed, TensorBoard."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..checkpoints.files import replace_with

LOG = "log.jsonl"


class RunLog:
    """Writes to a run's folder; does nothing if not `enabled` (all processes but the first).

    `total_steps` is the length of the bar; None if time, not steps, ends the run. `step` is where
    the run continues: later steps, logged by a start that was killed, are removed.
    """

    def __init__(self, folder: Path, total_steps: int | None, step: int, enabled: bool = True):
        self.folder = folder
        self.enabled = enabled
        if enabled:
            _drop_after(step, folder / LOG)
        self._board: Any = _board(folder / "tensorboard", step) if enabled else None
        off = None if enabled else True
        self._bar = tqdm(total=total_steps, initial=step, unit="step", disable=off)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of one step."""
        if not self.enabled:
            return
        entry = {"step": step, "time": round(time.time(), 1)}
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(entry | rounded) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def audio(self, step: int, name: str, samples: Tensor, sample_rate: int) -> None:
        """Log audio `[C, T]` for TensorBoard (its first channel)."""
        if self._board is not None:
            mono = samples[:1].detach().float().cpu().clamp(-1, 1)
            self._board.add_audio(name, mono, step, sample_rate)

    def advance(self, step: int, **shown: float) -> None:
        """Move the bar to `step` and show numbers beside it."""
        self._bar.update(step - self._bar.n)
        if shown:
            self._bar.set_postfix({k: f"{v:.3g}" for k, v in shown.items()}, refresh=False)

    def close(self) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()


def _drop_after(step: int, log: Path) -> None:
    """Remove the lines of later steps, and incomplete ones (cut off by a kill)."""
    if not log.exists():
        return
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) < len(lines):
        with replace_with(log) as file:
            file.writelines(kept)


def _step_of(line: bytes) -> float:
    """The step of a line; infinite for an incomplete line."""
    try:
        entry = json.loads(line)
    except ValueError:
        return math.inf
    step = entry.get("step") if isinstance(entry, dict) and line.endswith(b"\n") else None
    return step if isinstance(step, int) else math.inf


def _board(folder: Path, step: int) -> Any:
    """A TensorBoard writer that hides what was logged for steps after `step`.

    None if the package is missing (extra `train`).
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
