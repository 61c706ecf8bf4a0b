"""The codecs of one run, each loaded once; language models only where they are used."""

import os

from ..checkpoints import Registry, WeightSet
from ..codec import Codec
from ..cores import usable_cores
from ..ecdc import Header
from ..engine import EngineOptions
from ..engine.choose import find_device
from .errors import CommandError


class NamedCodecs:
    """Codecs by model name or header, on one device."""

    def __init__(self, weights: str | None, device: str):
        """Raises `WeightsUnavailableError` for an unknown source, `CommandError` for a device."""
        self._registry = Registry(weights)
        self._device = _device(device)
        self._chosen: dict[str, WeightSet] = {}
        self._codecs: dict[tuple[str, str | None], Codec] = {}

    def for_compression(self, name: str, lm: bool) -> Codec:
        """The model `name` with the weights to code with.

        Raises `WeightsError` and `WeightsUnavailableError`, also for want of a language model.
        """
        if name not in self._chosen:
            self._chosen[name] = self._registry.find(name)
        return self._codec(self._chosen[name], lm)

    def for_header(self, header: Header) -> Codec:
        """The model with exactly the weights that a file names. Raises as `for_compression`, and
        `UnknownModelError`."""
        return self._codec(self._registry.find_exact(header.model), header.lm)

    def _codec(self, weights: WeightSet, lm: bool) -> Codec:
        key = (weights.header_name, weights.lm_header_name if lm else None)
        if key not in self._codecs:
            language_model = self._registry.fetch_lm(weights) if lm else None
            options = EngineOptions(threads=_threads())
            self._codecs[key] = Codec.from_weights(weights, language_model, self._device, options)
        return self._codecs[key]


def _device(name: str) -> str:
    try:
        return find_device(name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except LookupError:
        raise CommandError(f"device {name} is not available here") from None


def _threads() -> int:
    """`OMP_NUM_THREADS` as torch takes it, else one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else usable_cores()
