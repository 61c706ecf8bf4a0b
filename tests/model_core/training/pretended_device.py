"""Training steps on a device that computes nothing, to see where the host would wait for it.

Tensors there have shapes only (`FakeTensorMode`): reading a value raises. Copies between host and
device are noted, which wait unless they are said not to. A program, because a device belongs to
the whole process; it prints each wait, and at the end of each part "codec done" and "lm done".
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from model_core.nn.lm import LMModel
from model_core.training.average import Average
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.trainer import CodecTrainer
from model_core.training.data.augment import Augmentation
from model_core.training.data.cache import AudioCache
from model_core.training.data.sampler import ClipSampler
from model_core.training.lm.data import LMBatch
from model_core.training.lm.network import LMNetwork
from model_core.training.optimizer import adam, step_if_finite
from tests.model_core.training.data.fixtures import write_cache


class Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend("pretended", Backend())
DEVICE = torch.device("pretended:0")


class Waits(TorchDispatchMode):
    """Prints each copy between host and device that waits."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if "copy" in str(func):
            places = {t.device.type for t in (*args, out) if isinstance(t, Tensor)}
            if len(places) > 1 and not _non_blocking(func, args, kwargs or {}):
                sys.stdout.write(f"{func} waits: {places}\n")
        return out


def _non_blocking(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    return bool(given.get("non_blocking", False))


def pretended(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    with mode:
        return torch.empty_like(mode.from_tensor(tensor), device=DEVICE, requires_grad=False)


def move(mode: FakeTensorMode, module: nn.Module) -> None:
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(pretended(mode, parameter))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = pretended(mode, buffer)
        if isinstance(part, nn.LSTM):
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]


def move_trainer(mode: FakeTensorMode, trainer: CodecTrainer) -> None:
    """Everything that a step uses; the optimisers begin anew."""
    learn, adversary = trainer.learn, trainer.learn.start_adversary()
    for module in (trainer.model, learn.losses, adversary.discriminator):
        move(mode, module)
    trainer.device = learn.device = DEVICE
    learn.balancer.load_state_dict(learn.balancer.state_dict())
    for owner, parameters in (
        (learn, trainer.model.parameters()),
        (adversary, adversary.discriminator.parameters()),
    ):
        owner.optimizer = type(owner.optimizer)(parameters, **owner.optimizer.defaults)
    with mode:
        trainer.average = Average(trainer.model, 0.9)
    trainer.sampler = ClipSampler(trainer.cache, 2400, {}, 1, augmentation=Augmentation())
    trainer.sampler._audio = pretended(mode, trainer.sampler._audio)
    trainer.sampler.device = DEVICE


def codec_steps(folder: Path) -> None:
    """Steps without and with discriminators, whether or not these learn."""
    settings = CodecSettings(
        n_filters=2,
        steps=20,
        batch=4,
        clip_seconds=0.1,
        quantise_from=0.0,
        kmeans_frames=30,
        adversary_from=0.5,
        adversary_filters=2,
        precision="float32",
    )
    cache = AudioCache(write_cache(folder / "c", [("speech", "train", 6.0)], rate=24_000))
    trainer = CodecTrainer(settings, cache, folder / "run")
    trainer.train_step()  # starts the codebooks
    mode = FakeTensorMode()
    move_trainer(mode, trainer)
    with mode, Waits():  # type: ignore[no-untyped-call]
        for step in (5, 12, 14):  # the discriminators learn in the last one alone
            trainer.step = step
            seen = trainer.train_step()
            assert ("adversarial" in seen, "discriminator" in seen) == (step > 5, step > 12)


def lm_step() -> None:
    """A step of a language model, its batch on the device."""
    entries = torch.randn(2, 16, 4)
    lm = LMModel(n_q=2, card=16, dim=8, num_layers=1, past_context=5, depth=True)
    network = LMNetwork(lm, entries, torch.ones(2, 16), dropout=0.1, code_noise=0.1)
    mode = FakeTensorMode()
    move(mode, network)
    optimizer = adam(network.parameters(), 1e-3, (0.9, 0.98))
    with mode, Waits():  # type: ignore[no-untyped-call]
        codes = torch.zeros(3, 2, 7, dtype=torch.long, device=DEVICE)
        batch = LMBatch(6.0, codes, codes, torch.zeros(3, dtype=torch.long, device=DEVICE))
        mean, _ = network.bits(batch)
        mean.backward()
        norm = clip_grad_norm_(network.parameters(), 1.0)
        step_if_finite(optimizer, norm)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        codec_steps(Path(folder))
    sys.stdout.write("codec done\n")
    lm_step()
    sys.stdout.write("lm done\n")


if __name__ == "__main__":
    main()
