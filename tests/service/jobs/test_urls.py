"""URLs that jobs may name: which are allowed, and that no other address is ever reached."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.http.problems import Problem
from service.jobs.urls import AllowedUrls, is_public
from tests.service.sounds import wav

OWN_NETWORK = ["unshare", "-rnm"]
CANARY = Path(__file__).with_name("canary.py")


def may_have_a_network() -> bool:
    try:
        return subprocess.run([*OWN_NETWORK, "ip", "link"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_have_a_network(), reason="needs unshare(1) and ip(8)")
def test_no_way_leads_to_an_address_that_is_not_public(weights: Path, tmp_path: Path) -> None:
    recording = tmp_path / "good.wav"
    recording.write_bytes(wav(0.1))
    command = [*OWN_NETWORK, sys.executable, str(CANARY), str(weights), str(tmp_path)]
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [*command, str(recording)],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["sung"] == 0
    assert found["good"] == ["done", "done"]
    assert len(found["sources"]) > 50
    for url, outcome in found["sources"].items():
        assert outcome in ("url_forbidden", "url_failed"), url
    forbidden = list(found["sources"].values()).count("url_forbidden")
    assert forbidden > 0.9 * len(found["sources"])  # few name nothing at all
    assert len(found["told"]) > 20
    assert set(found["told"]) <= {"pending", "failed"}


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254", "172.31.0.1"),
        *("192.0.0.192", "192.168.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
        *("168.63.129.16", "192.88.99.1", "::", "::1", "::127.0.0.1", "::ffff:8.8.8.8"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "fec0::1"),
        *("2001:0:7f00:1::1", "2001:db8::1", "fe80::1", "fe80::1%lo", "fd00:ec2::254", "ff02::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


BEGINNINGS = ["https://a.example/in/", "http://a.example:8080/", "s3://bucket/in/"]
ALLOWED = [
    *("https://a.example/in/x.wav", "https://A.EXAMPLE:443/in/deep/x.wav?sign=a%2Fb&c=..%2f"),
    *("http://a.example:8080/anything", "s3://bucket/in/a/b.wav"),
]
FORBIDDEN = [
    *("file:///etc/passwd", "/etc/passwd", "x", "", "https:", "https:///in/x", "data:,x"),
    *("ftp://a.example/in/x", "gopher://a.example/in/x", "https://a.example/out/x"),
    *(
        "http://a.example/in/x",
        "https://a.example:8080/in/x",
        "https://a.example.evil.example/in/x",
    ),
    *("https://user@a.example/in/x", "https://a.example@evil.example/in/x"),
    *("https://evil.example/in/x", "https://evil.example#@a.example/in/x"),
    *("https://evil.example\\@a.example/in/x", "https://a.example/in/../out/x"),
    *(
        "https://a.example/in/%2e%2e/out/x",
        "https://a.example/in/..%2fout",
        "https://a.example/IN/x",
    ),
    *("https://a.example/in/%252e%252e/x", "https://a.example/in/.%2e\\x", "https://a.example/in"),
    *("https://a.example/in/x\n", "https://a.example/in/ x", "https://a.example/in/ü"),
    *("https://a.example:99999/in/x", "https://[::1/in/x", "https://a.example/in/" + "x" * 5000),
    *("s3://bucket/in/", "s3://bucket/out/x", "s3://bucket/in/../out/x", "S3://bucket/in/x"),
    *("s3://bucket/in//", "s3://bucket/in/x/"),
    *("s3://other/in/x", "simplecache::s3://bucket/in/x", "s3://bucket/in/x::file:///etc/passwd"),
    *("local://bucket/in/x", "https://xn--/in/x"),
    *("https://a.example/in/..;/out/x", "https://a.example/in/%2e%2e;a=b/out/x"),
    *("s3://bucket/in/?/../../out/x", "s3://bucket/in/x?/%2e%2e/../out/x"),
]


@pytest.mark.parametrize("url", ALLOWED)
def test_what_begins_as_is_allowed(url: str) -> None:
    AllowedUrls(BEGINNINGS).check(url)


@pytest.mark.parametrize("url", FORBIDDEN)
@pytest.mark.parametrize("beginnings", [BEGINNINGS, []])
def test_everything_else_is_forbidden(url: str, beginnings: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        AllowedUrls(beginnings).check(url)
    assert caught.value.status == 403


def test_any_host_is_any_host_of_the_scheme() -> None:
    allowed = AllowedUrls(["https://*/in/"])
    allowed.check("https://b.example/in/x")
    for url in (
        "http://b.example/in/x",
        "https://b.example/x",
        "https://b.example:444/in/x",
        "https://xn--/in/x",
    ):
        with pytest.raises(Problem):
            allowed.check(url)
