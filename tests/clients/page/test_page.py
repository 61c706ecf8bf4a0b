"""The page in a browser: `clients/page/tests`, against a running service.

Skipped without Node, without Chromium and without the packages of `npm ci` in `clients/page`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.live import live

PAGE = Path(__file__).parents[3] / "clients/page"
NODE = shutil.which("node")
KEY = "ключ"  # of letters that HTTP headers do not take as they are
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="Node is not here"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here"),
    pytest.mark.skipif(not (PAGE / "node_modules").is_dir(), reason="npm ci has not run"),
    pytest.mark.timeout(600),
]


def test_the_page_works_in_chromium() -> None:
    with live(Path("bundled")) as service, live(Path("bundled"), api_keys=KEY) as keyed:
        addresses = {
            "PAGE_SERVICE": service.url,
            "PAGE_KEYED_SERVICE": keyed.url,
            "PAGE_KEY": KEY,
        }
        done = subprocess.run(
            [str(NODE), "--test", "--test-reporter=spec", "tests/page.test.mjs"],
            cwd=PAGE,
            env={**os.environ, **addresses, "PAGE_CHROMIUM": str(CHROMIUM)},
            capture_output=True,
            text=True,
            check=False,
        )
        service.wait_until_idle()
    assert done.returncode == 0, done.stdout + done.stderr
