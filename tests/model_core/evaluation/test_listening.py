"""The folder for listening tests: which clips, how loud, and the page in a browser."""

import base64
import json
import math
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from model_core.evaluation.clips import Clip
from model_core.evaluation.command import main
from model_core.evaluation.listening import choose, page
from model_core.evaluation.loudness import levelled, loudness
from model_core.evaluation.peers.tools import read_audio

from .conftest import RATE, audio, write_wav

BROWSER = Path(__file__).parents[3] / "clients/page"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NAME = '<b>it\'s & "loud"</b> <img src=x onerror=harmed=1> {{script}}.wav'
"""A name that would be HTML."""


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for four clips, one with `NAME`."""
    source = tmp_path_factory.mktemp("recordings")
    for name in ("speech/a.wav", f"speech/{NAME}", "music/c.wav", "music/d.wav"):
        write_wav(source / name, 0.5 * audio(2.5, len(name)))
    out = tmp_path_factory.mktemp("made") / "listening"
    options = ("--weights", weights, "--against", "bundled", "--bandwidths", 6, "--no-peers")
    listen = ("--no-lm", "--no-visqol", "--listen", out, "--listen-clips", 4)
    assert main([str(each) for each in (source, *options, *listen)]) == 0
    return out


def _data(folder: Path) -> Any:
    text = (folder / "index.html").read_text()
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def _versions(folder: Path, number: int) -> list[np.ndarray]:
    """The samples of a clip's versions, `[C, n]`."""
    script = (folder / "clips" / f"{number}.js").read_text()
    files = json.loads(script.removeprefix(f"encodecClip({number}, ").removesuffix(");\n"))
    return [read_audio(base64.b64decode(each), RATE, 1) for each in files]


def test_clips_to_be_heard_are_of_each_kind_and_from_all_over_it() -> None:
    kinds = {"speech": 20, "music": 3, "birds": 1}
    clips = [
        Clip(f"{i:02}", kind, Path(), 1.0) for kind, count in kinds.items() for i in range(count)
    ]
    chosen = choose(clips, 8)
    assert [(clip.name, clip.category) for clip in chosen] == [(c.name, c.category) for c in clips]
    heard = [clip for clip in chosen if clip.heard]
    assert Counter(clip.category for clip in heard) == {"speech": 4, "music": 3, "birds": 1}
    places = [int(clip.name) for clip in heard if clip.category == "speech"]
    assert max(places) - min(places) >= 10
    assert sum(clip.heard for clip in choose(clips, 100)) == 24


def test_the_folder_has_all_versions_in_step_and_equally_loud(folder: Path) -> None:
    data = _data(folder)
    assert data["sample_rate"] == RATE
    assert [clip["number"] for clip in data["clips"]] == [1, 2, 3, 4]
    assert f"speech/{NAME}" in [clip["name"] for clip in data["clips"]]
    for clip in data["clips"]:
        systems = [(version["system"], version["kbps"]) for version in clip["versions"]]
        assert systems[0] == ("Original", None)
        assert len({system for system, _ in systems}) == 3
        assert [kbps for _, kbps in systems[1:]] == [6.0, 6.0]
        samples = _versions(folder, clip["number"])
        assert [each.shape for each in samples] == [(1, round(2.5 * RATE))] * 3
        wanted = loudness(samples[0], RATE)
        for version, each in zip(clip["versions"], samples, strict=True):
            if version["gain_db"] is not None:
                assert loudness(each, RATE) == pytest.approx(wanted, abs=0.3)
            assert np.abs(each[:, [0, -1]]).max() < 1e-3


def test_levels_are_moved_to_that_of_the_original() -> None:
    original = audio(2.0)
    versions = [0.7 * original, original * 1.2, 0.01 * original, np.zeros_like(original)]
    moved, gains = levelled(original, versions, RATE)
    assert gains[:2] == [pytest.approx(20 * math.log10(1 / r), abs=0.01) for r in (0.7, 1.2)]
    assert gains[2:] == [None, None]
    inner = slice(RATE // 10, -RATE // 10)
    for each in moved[1:3]:
        np.testing.assert_allclose(each[:, inner], moved[0][:, inner], atol=1e-3)


def test_nothing_clips_and_the_balance_is_kept() -> None:
    original = audio(2.0)
    original /= np.abs(original).max()
    spiky = original.copy()
    spiky[0, RATE] = 3.0
    moved, _ = levelled(original, [spiky], RATE)
    assert max(np.abs(each).max() for each in moved) < 1
    assert loudness(moved[1], RATE) == pytest.approx(loudness(moved[0], RATE), abs=0.1)


def test_names_cannot_leave_the_data() -> None:
    data = {"clips": [{"name": "</script><script>harm()</script>{{style}}<!--"}]}
    text = page(data)
    assert text.count("<script") == 2
    assert "harm()" in text
    assert "</script><script>harm" not in text
    assert text.count(":root {") == 1


def test_a_folder_with_something_in_it_is_left_alone(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main([str(tmp_path), "--weights", str(weights), "--listen", str(tmp_path)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(NODE is None, reason="Node is not here")
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here")
@pytest.mark.skipif(
    not (BROWSER / "node_modules").is_dir(), reason="npm ci has not run in clients/page"
)
@pytest.mark.timeout(600)
def test_the_page_works_in_chromium(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    with _served(folder) as url:
        places = {"LISTEN_FOLDER": str(folder), "LISTEN_URL": url, "LISTEN_JSON": str(results)}
        script = Path(__file__).with_name("listening.mjs")
        done = subprocess.run(
            [str(NODE), "--test", "--test-reporter=spec", str(script)],
            env={**os.environ, **places, "PAGE_CHROMIUM": str(CHROMIUM)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (kept,) = json.loads(results.read_text())["sets"]
    right = sum(trial["x"] == trial["answer"] for trial in kept["trials"])
    count = len(kept["trials"])
    assert kept["right"] == right
    assert kept["p"] == sum(math.comb(count, k) for k in range(right, count + 1)) / 2**count
