"""Files that make the service load models."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.target import Target
from tests.service.calls import compressed, ecdc, meta, refused
from tests.service.sounds import wav

CASES = Path(__file__).with_name("cases")


def test_a_flag_that_does_not_fit_loads_nothing(share: Callable[..., Target]) -> None:
    service = share()
    with service.client() as client:
        good = compressed(client, wav(0.3), model="encodec_48khz")
        flagged = ecdc(meta(good, lm=True), good[-100:])
        before = service.use().own
        for _ in range(10):
            refused(client.post("/decompress", content=flagged), 400, "broken_ecdc")
    assert service.metric("encodec_model_loads_total") == 2  # the two that are warm
    assert service.use().own - before < 30_000_000


def test_a_name_that_contradicts_the_flag_loads_nothing(share: Callable[..., Target]) -> None:
    """A language model is named and said not to be used; both calls say the same of such a file."""
    service = share()
    with service.client() as client:
        good = meta(compressed(client, wav(0.3), lm="true"))
        for name in (good["m"], f"{good['m']:.22}+0123abcd"):
            contradicting = ecdc({**good, "m": name, "lm": False}, bytes(50_000))
            for call in ("/decompress", "/inspect"):
                refused(client.post(call, content=contradicting), 400, "broken_ecdc")
    assert service.metric("encodec_model_loads_total") == 2


def test_the_bundled_weights_too(start: Callable[..., Target]) -> None:
    service = start("--weights", "bundled")
    file = (CASES / "lm-flag-without-lm-24.ecdc").read_bytes()
    with service.client() as client:
        for _ in range(3):
            assert client.post("/decompress", content=file).status_code in (400, 409)
    assert service.metric("encodec_model_loads_total") == 2
