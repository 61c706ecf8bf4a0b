"""Numbers on command lines."""

import argparse

import pytest

from model_core.flags import Range, number_in, positive


@pytest.mark.parametrize("text", ["", "x", "1.5", "0", "-1", "9" * 5000])
def test_what_is_no_whole_number_from_1_on_is_wrong_usage(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        positive(text)
    assert positive("12") == 12


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "-0.1"])
def test_only_finite_numbers_are_in_a_range(text: str) -> None:
    read = number_in(Range(0))
    with pytest.raises(argparse.ArgumentTypeError):
        read(text)
    assert read("1e3") == 1000


def test_a_range_says_what_it_allows() -> None:
    for allowed, words in ((Range(0.5), "0.5 or more"), (Range(0, 1), "between 0 and 1")):
        with pytest.raises(argparse.ArgumentTypeError, match=f"^-1 is not {words}$"):
            number_in(allowed)("-1")
