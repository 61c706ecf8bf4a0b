"""The same led by coverage, where atheris is installed (no dependency of this project).

`python -m tests.model_core.ecdc.v1.fuzz_atheris -runs=100000 -rss_limit_mb=1024 -timeout=10`
"""

import sys

import atheris

with atheris.instrument_imports(include=["model_core.ecdc"]):
    from tests.model_core.ecdc.v1 import forged


def one(data: bytes) -> None:
    """The bytes are changes to a file: its number, then a place (2 bytes) and a byte each."""
    changed = bytearray(FILES[data[0] % len(FILES)] if data else b"")
    for at in range(1, len(data) - 2, 3):
        changed[int.from_bytes(data[at : at + 2], "big") % len(changed)] = data[at + 2]
    list(forged.read_all(bytes(changed)))
    list(forged.read_all(data))


if __name__ == "__main__":
    with forged.without_checksums():
        FILES = forged.files()
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()
