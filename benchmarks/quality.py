"""How decoded audio compares with its original, per bandwidth and kind of recording.

    python -m benchmarks.quality CACHE MODEL [--weights bundled] [--seconds 600] [--json FILE]

CACHE is a folder made by `model_core.training.cache`; only its held-out recordings count. Prints
the median SI-SNR (dB), the mean log-mel distance (dB) and, for speech, the mean STOI, with the
bits that were really written.
"""

import argparse
import io
import json
import statistics
from pathlib import Path

import numpy as np
import torch
from pystoi import stoi

from model_core.codec import Codec, Compressor, Decompressor, run_steps
from model_core.ecdc import read_header
from model_core.metrics import log_mel_distance, si_snr
from model_core.training.data import AudioCache


def coded(codec: Codec, samples: np.ndarray, bandwidth: float) -> tuple[np.ndarray, int]:
    """`samples` `[C, n]` after compression and decompression, and the size in bytes."""
    compressor = Compressor(codec, bandwidth)
    payload = run_steps(compressor.push(samples)) + run_steps(compressor.finish())
    data = compressor.header.to_bytes() + payload
    fo = io.BytesIO(data)
    blocks = Decompressor(codec, read_header(fo), fo).blocks()
    return np.concatenate(list(blocks), axis=1), len(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("model")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--seconds", type=float, default=300, help="audio per kind, at most")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    codec = Codec.load(arguments.model, arguments.weights)
    rate = codec.config.sample_rate
    cache = AudioCache(arguments.cache)
    rows = []
    print(f"{codec.name}\n{'kbps':>5} {'kind':12} {'clips':>5} {'kbps written':>12}", end="")
    print(f" {'SI-SNR dB':>9} {'mel dB':>6} {'STOI':>5}")
    for bandwidth in codec.config.target_bandwidths:
        for kind in sorted({r.category for r in cache.recordings}):
            snr, mel, intelligible, size, seconds = [], [], [], 0, 0.0
            for recording in cache.recordings:
                if (recording.split, recording.category) != ("valid", kind):
                    continue
                x = cache.read(recording, 0, min(recording.length, 10 * rate)).numpy()
                if seconds > arguments.seconds or x.shape[1] < rate or np.abs(x).max() < 1e-3:
                    continue
                y, written = coded(codec, x, bandwidth)
                size += written
                seconds += x.shape[1] / rate
                pair = torch.from_numpy(x), torch.from_numpy(y)
                snr.append(float(si_snr(*pair).mean()))
                mel.append(float(log_mel_distance(*pair, rate).mean()))
                if kind == "speech":
                    intelligible.append(float(stoi(x.mean(0), y.mean(0), rate)))
            if not snr:
                continue
            row = {
                "kbps": bandwidth,
                "kind": kind,
                "clips": len(snr),
                "kbps_written": 8 * size / seconds / 1000,
                "si_snr_db": statistics.median(snr),
                "mel_db": statistics.mean(mel),
                "stoi": statistics.mean(intelligible) if intelligible else None,
            }
            rows.append(row)
            print(
                f"{bandwidth:5g} {kind:12} {len(snr):5} {row['kbps_written']:12.2f}"
                f" {row['si_snr_db']:9.2f} {row['mel_db']:6.2f}"
                f" {row['stoi'] if row['stoi'] is None else round(row['stoi'], 3)}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"weights": codec.name, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
