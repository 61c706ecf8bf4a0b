"""Damaged `.ecdc` files to `/decompress`: `python -m tests.faults.damaged [FILES] [SEED]`.

Mutants of files of both versions, both models, with and without the language model. Of version 1
what comes back must be a refusal, the right audio, or its beginning in an answer that is cut off.
Of version 0, which cannot tell, any answer will do but a failure of the service. Prints what came
back and the memory that the service took; ends with 1 where something did not hold.
"""

import argparse
import collections
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import torch

from model_core.checkpoints.save import save_lm
from tests.faults.__main__ import EXPECTED, MB, mutant
from tests.faults.target import Target, target
from tests.service.calls import compressed
from tests.service.narrow import narrow_lm, write_narrow_models
from tests.service.sounds import wav

CLIENTS = 4
PATIENCE = 60  # s, for each answer
SECONDS = (0.3, 4.5)
"""Of the clips: a chunk, and several, so that an answer begins before all is read."""


def write_models(folder: Path) -> None:
    """Both models, each with a language model."""
    write_narrow_models(folder)
    (stereo,) = folder.glob("encodec_48khz-*")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        save_lm(
            narrow_lm("encodec_48khz"), f"encodec_48khz:{stereo.stem[-8:]}", folder, torch.float32
        )


def make_files(client: httpx.Client) -> dict[bytes, bytes]:
    """Files to damage, and what each decompresses to."""
    files: dict[bytes, bytes] = {}
    for seconds in SECONDS:
        for model in ("encodec_24khz", "encodec_48khz"):
            for lm in ("false", "true"):
                for version in ("0", "1"):
                    if version == "0" and lm == "true" and seconds > 1:
                        continue  # its floating-point model is slow
                    file = compressed(client, wav(seconds), model=model, lm=lm, format=version)
                    files[file] = client.post("/decompress", content=file).content
    return files


def answer_of(client: httpx.Client, file: bytes) -> tuple[int, bytes, bool]:
    """The status of `/decompress`, what came of its body, and whether that was all."""
    received = b""
    with client.stream("POST", "/decompress", content=file) as answer:
        try:
            for data in answer.iter_raw():
                received += data
        except httpx.RemoteProtocolError:
            return answer.status_code, received, False
    return answer.status_code, received, True


def judged(version: int, whole: bytes, answer: tuple[int, bytes, bool]) -> str:
    """What an answer is, in words; WRONG among them where it must not be."""
    status, body, complete = answer
    if status not in EXPECTED:
        return f"WRONG {status}"
    if status != 200:
        return str(status)
    said = "whole" if complete else "cut off"
    if version == 0:
        return f"200, {said}"
    right = body == whole if complete else whole.startswith(body)
    return f"200, {said}, the right audio" if right else f"200, {said}, WRONG audio"


def attack(service: Target, count: int, seed: int) -> bool:
    """Whether everything held."""
    with service.client() as client:
        files = make_files(client)
    originals = list(files)
    tally: collections.Counter[str] = collections.Counter()
    longest = 0.0

    def one(number: int) -> None:
        nonlocal longest
        chance = random.Random(f"{seed}-{number}")
        original = chance.choice(originals)
        began = time.monotonic()
        try:
            with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
                found = judged(
                    original[4], files[original], answer_of(client, mutant(original, chance))
                )
        except httpx.TransportError as error:
            found = f"WRONG {type(error).__name__}"
        longest = max(longest, time.monotonic() - began)
        tally[f"version {original[4]}: {found}"] += 1

    before = service.use()
    with service.watch() as watch, ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(count)))
    after = service.use()
    lives = service.process.popen.poll() is None
    for kind, times in sorted(tally.items()):
        print(f"{times:6} {kind}")
    print(
        f"longest answer {longest:.1f} s; memory {before.memory / MB:.0f} -> "
        f"{after.memory / MB:.0f} MB, peak {watch.peak.memory / MB:.0f}; "
        f"{watch.unanswered} of {len(watch.health)} probes unanswered; lives: {lives}"
    )
    return lives and not watch.unanswered and not any("WRONG" in kind for kind in tally)


def main() -> int:
    """0 where everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.damaged", description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=5000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        with target(Path(folder)) as service:
            held = attack(service, given.files, given.seed)
    print("everything held" if held else "NOT everything held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
