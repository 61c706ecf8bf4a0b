"""The TypeScript client: its own tests against the running service. They need node and what
`npm ci` installs in clients/typescript."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.live import Live, live

FOLDER = Path(__file__).parents[2] / "clients" / "typescript"

pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None or not (FOLDER / "node_modules").is_dir(),
    reason="npm ci has not been run in clients/typescript",
)


def test_the_typescript_client_against_the_service(
    server: Live, weights: Path, tmp_path: Path
) -> None:
    with live(weights, jobs_dir=tmp_path) as working:
        urls = {"ENCODEC_URL": server.url, "ENCODEC_JOBS_URL": working.url}
        done = subprocess.run(
            ["npm", "test"],
            cwd=FOLDER,
            env=os.environ | urls,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
