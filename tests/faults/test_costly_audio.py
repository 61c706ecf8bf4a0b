"""Small files that take much computing."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.target import Target, cpu_used
from tests.service.sounds import encoded

CASES = Path(__file__).with_name("cases")


def test_silence_at_an_absurd_rate_costs_little_more_than_music(
    start: Callable[..., Target],
) -> None:
    service = start("--weights", "bundled")
    with service.client() as client:
        music = encoded("flac", 60.0)
        client.post("/compress", content=encoded("flac", 5.0))
        with cpu_used(service) as usual:
            client.post("/compress", content=music)
        with cpu_used(service) as absurd:
            client.post("/compress", content=(CASES / "flac-655350Hz-8ch-60s.flac").read_bytes())
    assert absurd.seconds < 4 * usual.seconds
