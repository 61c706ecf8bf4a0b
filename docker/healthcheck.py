"""The image's health check: exit 0 when the service on this machine says it is ready, else 1.

Asks directly, whatever proxy the environment names; urllib, so that the image needs no curl.
"""

import os
import sys
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT = 4.0  # seconds, a little less than the image's own limit


def main() -> int:
    """Prints why the service is not ready (`docker inspect` shows it) and says so in the status."""
    port = os.environ.get("ENCODEC_PORT", "8000")
    url = f"http://127.0.0.1:{port}/health/ready"
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT) as answer:
            answer.read()
    except HTTPError as error:
        reason = f"{error.code} {error.read(1000).decode(errors='replace')}"
    except OSError as error:
        reason = f"no answer: {error}"
    else:
        return 0
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
