"""What the process is made of from which every upload's decoder is forked."""

import subprocess
import sys


def test_it_imports_neither_torch_nor_the_server() -> None:
    """With torch, a fork and its end take ten times as long, and each child has more to attack."""
    unwanted = {"torch", "torchaudio", "asyncio", "fastapi", "pydantic", "structlog", "ssl"}
    program = (
        "import sys; from service.decoder import fork_server; fork_server.prepare(); "
        f"sys.exit(repr({unwanted} & set(sys.modules)) if {unwanted} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stderr.strip(), done.returncode) == ("", 0)


def test_it_rehearses_the_usual_formats() -> None:
    """What this build of FFmpeg can write, it can try out."""
    program = (
        "import sys; from service.decoder import fork_server; "
        "sys.stdout.buffer.write(b'|'.join(s[:4] for s in fork_server._made_elsewhere()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert {b"RIFF", b"fLaC", b"ID3\x04", b"OggS"} <= set(done.stdout.split(b"|")), done.stderr
