"""Voices and what they read."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.training.data.synth.sentences import GRAMMARS, sentences
from model_core.training.data.synth.speech import speak, voices


def test_voices_differ_and_depend_on_the_seed_alone() -> None:
    found = voices(60, random.Random(1))
    assert len({voice.name for voice in found}) == 60
    assert found == voices(60, random.Random(1))
    assert found != voices(60, random.Random(2))


@pytest.mark.parametrize("language", [*GRAMMARS, "sw"])
def test_sentences_are_many(language: str) -> None:
    source = random.Random(1)
    made = [sentences(language, 1, source) for _ in range(200)]
    assert len(set(made)) > 190
    assert all(text[0].isupper() and text[-1] in ".!?" for text in made)
    assert sentences(language, 3, random.Random(5)) == sentences(language, 3, random.Random(5))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_voice_speaks(tmp_path: Path) -> None:
    for number, voice in enumerate(voices(4, random.Random(3))):
        out = tmp_path / f"{number}.wav"
        speak(voice, out, random.Random(4))
        with open_audio(out, 24_000, 1) as source:
            samples = np.concatenate(list(source), axis=1)
        assert samples.shape[1] > 24_000
        assert 0.01 < np.sqrt((samples**2).mean()) < 0.5
