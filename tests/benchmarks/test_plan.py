"""Which cases a run measures, by its command line."""

from benchmarks.command import parser, plan_of
from benchmarks.plan import Case, Plan


def planned(*arguments: str) -> Plan:
    return plan_of(parser().parse_args(arguments))


def test_quick_has_short_cases_of_both_models_and_directions() -> None:
    cases = list(planned().cases())
    assert {(c.model, c.direction) for c in cases} == {
        ("encodec_24khz", "encode"),
        ("encodec_24khz", "decode"),
        ("encodec_48khz", "encode"),
        ("encodec_48khz", "decode"),
    }
    assert max(c.seconds for c in cases) <= 10
    assert {(c.threads, c.bandwidth) for c in cases} == {(1, 6.0)}


def test_full_has_every_length_on_every_number_of_threads_and_every_bandwidth_once() -> None:
    cases = list(planned("--full").cases())
    assert len(cases) == len(set(cases))
    for model, bandwidths in (("encodec_24khz", 5), ("encodec_48khz", 4)):
        mine = [c for c in cases if (c.model, c.direction) == (model, "encode")]
        assert {(c.seconds, c.threads) for c in mine} == {
            (seconds, threads) for seconds in (1, 10, 60, 3600) for threads in (1, 2)
        }
        assert sum(c.seconds == 10 and c.threads == 1 for c in mine) == bandwidths


def test_chosen_cases_alone_are_measured() -> None:
    plan = planned(
        "speed", "--models", "encodec_48khz", "--directions", "decode", "--lengths", "2.5",
        "--threads", "3", "--bandwidths", "1.5", "24", "--runs", "2",
    )  # fmt: skip
    # the 48 kHz model has no 1.5 kbps
    assert list(plan.cases()) == [Case("encodec_48khz", "decode", 2.5, 3, 24.0)]
    assert plan.runs == 2


def test_the_service_is_stressed_for_one_model_unless_models_are_chosen() -> None:
    for preset in ((), ("--full",)):
        plan = planned("service", *preset)
        assert list(plan.models) == ["encodec_24khz", "encodec_48khz"]
        assert list(plan.stressed_models) == ["encodec_24khz"]
    chosen = planned("service", "--models", "encodec_48khz")
    assert list(chosen.stressed_models) == list(chosen.models) == ["encodec_48khz"]


def test_the_language_model_gets_short_clips() -> None:
    assert max(planned().lm_lengths) == 3
    assert list(planned("--full").lm_lengths) == [1, 3, 10]
    assert list(planned("lm", "--lm-lengths", "0.5").lm_lengths) == [0.5]
