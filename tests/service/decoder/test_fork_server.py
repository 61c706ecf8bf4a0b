"""What the process is made of from which every upload's decoder is forked."""

import subprocess
import sys


def test_no_torch_in_it() -> None:
    """With torch, a fork and its end take ten times as long, and each child has more to attack."""
    program = (
        "import sys; from service.decoder import fork_server; fork_server.warm_up(); "
        "print(sorted({'torch', 'torchaudio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
