"""What a header says of the recording; each wrong value is in `test_header`."""

from model_core.ecdc.v1.metadata import check_gain, check_name, check_source, check_tags


def test_limits_are_within() -> None:
    check_source(10_000_000, 65_535)
    check_source(1, None)
    check_name("é" * 127 + "x")
    check_name(None)
    check_gain(-128)
    check_gain(128.0)
    check_tags(())
    check_tags((("k" * 64, ""),) * 256)
    check_tags(((" }", "any text\n=\0"), ("TITLE", "x"), ("title", "x")))
