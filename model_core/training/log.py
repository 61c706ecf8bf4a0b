"""What a run tells the outside: a progress bar, `log.jsonl` and, where it is installed,
TensorBoard."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

LOG = "log.jsonl"


class RunLog:
    """Writes to a run's folder; does nothing with `enabled` false (all processes but the first).

    `total_steps` is the length of the bar, None where time and not steps ends the run.
    """

    def __init__(self, folder: Path, total_steps: int | None, enabled: bool = True):
        self.folder = folder
        self.enabled = enabled
        self._board: Any = _board(folder / "tensorboard") if enabled else None
        self._bar = tqdm(total=total_steps, unit="step", disable=None if enabled else True)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers of one step."""
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
        """Record audio `[C, T]` to be listened to in TensorBoard (its first channel)."""
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


def _board(folder: Path) -> Any:
    """A TensorBoard writer, or None where the package is missing (extra `train`)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
