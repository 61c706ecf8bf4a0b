"""A network of its own, with a public server and canaries that no job may reach.

unshare -rnm python canary.py WEIGHTS FOLDER RECORDING

The public server is 93.184.216.34 (`public.example`); the canaries listen on port 80 of every other
address that there is, of IPv4 and of IPv6. Prints JSON: what became of the job of each URL, and how
many connections the canaries had. (It makes no recording itself, which would take torch.)
"""

import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from tests.service.jobs.asked import ASYNC, Document, seen
from tests.service.live import live, wait_for

PUBLIC = "93.184.216.34"
INNER = ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.5.5", "192.168.7.7", "169.254.169.254"]
INNER_6 = ["::1", "fd00::5", "fe80::5"]
MAPPED = ["[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]"]
SPELLED = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0", "127.0.0.1.", "[::]"]
NAMES = ["localhost", "LOCALHOST.", "inner.example", "inner6.example", "both.example"]
HOSTS = [*INNER, *(f"[{address}]" for address in INNER_6), *MAPPED, *SPELLED, *NAMES]
"""Every way to say an address that is not public."""


class Public(BaseHTTPRequestHandler):
    """A recording at `/good.wav`; `/to?url=...` redirects; `/told` takes webhooks."""

    recording = b""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", parse_qs(urlsplit(self.path).query)["url"][0])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.recording)))
        self.end_headers()
        self.wfile.write(self.recording)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Canaries:
    """Count connections."""

    def __init__(self) -> None:
        self.sung = 0
        for address in (*INNER, *INNER_6):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            scope = socket.if_nametoindex("lo") if address.startswith("fe80") else 0
            place = (address, 80, 0, scope) if family == socket.AF_INET6 else (address, 80)
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen()
            threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            self.sung += 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
            connection.close()


def build(folder: Path) -> None:
    """The network and its names."""
    hosts = folder / "hosts"
    names = ("127.0.0.1 localhost inner.example both.example", f"{PUBLIC} public.example")
    hosts.write_text("\n".join([*names, f"{PUBLIC} both.example", "::1 inner6.example", ""]))
    commands = [["mount", "--bind", str(hosts), "/etc/hosts"], ["ip", "link", "set", "lo", "up"]]
    for address in (PUBLIC, *INNER[1:]):
        commands.append(["ip", "addr", "add", f"{address}/32", "dev", "lo"])
    for address in INNER_6[1:]:
        commands.append(["ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"])
    for command in commands:
        subprocess.run(command, check=True)


def finished(client: httpx.Client, job: Document) -> Document:
    """The job, once it has ended."""
    wait_for(lambda: seen(client, job)["finished"], every=0.2)  # names that lead nowhere take long
    return seen(client, job)


def main(weights: Path, folder: Path, recording: bytes) -> dict[str, Any]:
    """What became of it all."""
    build(folder)
    Public.recording = recording
    server = ThreadingHTTPServer((PUBLIC, 80), Public)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    canaries = Canaries()
    urls = [f"http://{host}/x.wav" for host in HOSTS]
    sources = [*urls, *(f"http://public.example/to?url={quote(url)}" for url in urls)]
    sources.append(f"http://public.example/to?url={quote('file:///etc/hosts')}")
    good = ["http://public.example/good.wav", f"http://{PUBLIC}/to?url=%2Fgood.wav"]
    anywhere = {"input_urls": "http://*/,https://*/", "webhook_urls": "http://*/"}
    secret = {"webhook_secret": "whsec_" + "A" * 32, "webhook_retry": 0.05}
    everything = {"jobs_dir": folder / "jobs", "max_running_jobs": 8, **anywhere, **secret}
    with live(weights, **everything) as service, service.client() as client:
        found: dict[str, Any] = {}
        jobs: dict[str, Any] = {}
        told: dict[str, Any] = {}

        def ask(url: str, into: dict[str, Any], body: bytes = b"", **query: str) -> None:
            answer = client.post("/compress", content=body, params=query, headers=ASYNC)
            if answer.status_code == 202:
                into[url] = answer.json()
            else:
                found[url] = answer.json()["code"]

        for url in [*urls, good[0]]:
            ask(url, told, recording, webhook=url)
        for url in [*sources, *good]:
            ask(url, jobs, source=url)
        for url, job in jobs.items():
            problem = finished(client, job)["problem"]
            found[url] = "done" if problem is None else problem["code"]

        def webhook(url: str) -> str:
            state: str = seen(client, told[url])["webhook"]
            return state

        wait_for(lambda: webhook(good[0]) == "delivered")
        time.sleep(0.5)  # for several tries
        return {
            "sources": {url: found[url] for url in sources},
            "good": [found[url] for url in good],
            "told": [webhook(url) for url in told if url != good[0]],
            "sung": canaries.sung,
        }


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    sys.stdout.write(json.dumps(main(given[0], given[1], given[2].read_bytes())))
