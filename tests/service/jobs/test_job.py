"""What a job says of itself."""

from service.jobs.job import timestamp


def test_times_are_told_however_long_a_job_is_kept() -> None:
    assert timestamp(None) is None
    assert timestamp(0.0015) == "1970-01-01T00:00:00.001+00:00"
    assert timestamp(1e300) == "9999-12-31T23:59:59.000+00:00"
