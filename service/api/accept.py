"""Which of several media types a client likes best (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

from ..problems import Problem, ProblemCode


def choose(accept: str, offers: Sequence[str]) -> str:
    """The offer that `accept` weighs most, the first of equals. Raises `Problem` for none."""
    ranges = [_parse(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    weights = [_weight(offer, ranges) for offer in offers]
    if max(weights) <= 0:
        raise Problem(ProblemCode.NOT_ACCEPTABLE, f"offered: {', '.join(offers)}")
    return offers[weights.index(max(weights))]


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most specific range that has it."""
    for wanted in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        for media_range, weight in ranges:
            if media_range == wanted:
                return weight
    return 0.0
