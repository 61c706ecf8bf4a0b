"""Quotas: what is left of them, and what answers say."""

from service.http.keys import ApiKey
from service.inference.quota import Quota
from service.inference.tenants import Tenant


class Clock:
    """One that stands still unless it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_is_refilled_evenly_up_to_its_size() -> None:
    clock = Clock()
    quota = Quota("minute", 120, 60, clock)
    quota.charge(100)
    assert quota.left == 20
    clock.now += 10
    assert quota.left == 40
    clock.now += 1000
    assert quota.left == 120


def test_it_may_be_overdrawn_and_then_says_how_long() -> None:
    clock = Clock()
    quota = Quota("minute", 120, 60, clock)
    quota.charge(320)
    assert quota.left == -200
    wait = quota.wait()
    clock.now += wait - 1
    assert quota.wait() > 0
    clock.now += 1
    assert quota.wait() == 0
    assert 0 < quota.left <= 2


def test_what_is_given_back_is_there_again() -> None:
    clock = Clock()
    quota = Quota("hour", 100, 3600, clock)
    quota.charge(90)
    quota.charge(-80)
    assert quota.left == 90
    quota.charge(-80)
    assert quota.left == 100


def test_headers_say_what_is_left_and_until_when() -> None:
    clock = Clock()
    quota = Quota("minute", 120, 60, clock)
    assert quota.policy() == '"minute";q=120;qu="audio-seconds";w=60'
    assert quota.state() == '"minute";r=120;t=0'
    quota.charge(30.5)
    assert quota.state() == '"minute";r=89;t=16'
    quota.charge(100)
    assert quota.state() == f'"minute";r=0;t={quota.wait()}'


def test_headers_of_concurrency_have_no_window() -> None:
    tenant = Tenant(ApiKey("a", concurrent=4))
    for open, left in ((3, 1), (9, 0)):
        tenant.open = open
        assert tenant.headers() == {
            "RateLimit-Policy": '"concurrent";q=4;qu="concurrent-requests"',
            "RateLimit": f'"concurrent";r={left}',
        }
