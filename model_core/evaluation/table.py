"""The report as text."""

from collections.abc import Iterator
from itertools import groupby

from .report import Report, Row

LEGEND = """\
kbps: whole files; bare: without header or container; with LM: whole files, and the share of the
bare bits that it saves. SI-SNR (dB) is the median over clips; log-mel distance (dB, less is
better), PESQ (wideband) and STOI are means. Opus and MP3 are set so that whole files have the
requested rate, LC3 without its container; the delay of all three is removed."""


def table(report: Report) -> str:
    """Each kind of recording in turn, then the use of the codebooks and what was skipped."""
    return "\n".join([*_kinds(report), LEGEND, *_codebooks(report), *_left_out(report)]) + "\n"


def _kinds(report: Report) -> Iterator[str]:
    width = max([len(name) for name in report.contenders] + [5])
    heads = f"{'asked':>5} {'codec':{width}} {'kbps':>6} {'bare':>6} {'with LM':>7} {'saved':>6}"
    heads += f" {'SI-SNR':>7} {'mel':>6} {'PESQ':>5} {'STOI':>6} {'clips':>5}"
    for kind, members in groupby(report.rows, key=lambda row: row.category):
        rows = list(members)
        seconds = max(row.seconds for row in rows)
        yield f"{kind} ({max(row.clips for row in rows)} clips, {seconds:.0f} s)"
        yield heads
        yield from (_line(row, width) for row in rows)
        yield ""


def _line(row: Row, width: int) -> str:
    saved = None if row.lm_saving_percent is None else row.lm_saving_percent
    return (
        f"{row.kbps:5g} {row.contender:{width}} {row.kbps_written:6.2f} {row.kbps_payload:6.2f}"
        f" {_number(row.kbps_lm, 7, 2)} {_number(saved, 5, 1, '%')}"
        f" {row.si_snr_db:7.2f} {row.mel_db:6.2f} {_number(row.pesq, 5, 2)}"
        f" {_number(row.stoi, 6, 3)} {row.clips:5}"
    )


def _number(value: float | None, width: int, digits: int, unit: str = "") -> str:
    if value is None:
        return "-".rjust(width + len(unit))
    return f"{value:{width}.{digits}f}{unit}"


def _codebooks(report: Report) -> Iterator[str]:
    for contender, usage in report.usage.items():
        bits = usage.entropy_bits
        yield (
            f"{contender}: of {len(bits)} codebooks, over {usage.seconds:.0f} s, at most"
            f" {usage.most_unused_percent:.1f} % of the entries are unused;"
            f" entropy {sum(bits) / len(bits):.2f} bits a code"
        )


def _left_out(report: Report) -> Iterator[str]:
    yield from report.notes
    for row in report.rows:
        for measure, count in (("PESQ", row.pesq_clips), ("STOI", row.stoi_clips)):
            if 0 < count < row.clips:
                yield (
                    f"{measure} of {row.contender} at {row.kbps:g} kbps:"
                    f" {row.clips - count} clips left out, which it cannot take"
                )
    for failure in report.failures:
        yield f"{failure.contender} at {failure.kbps:g} kbps, {failure.clip}: {failure.reason}"
