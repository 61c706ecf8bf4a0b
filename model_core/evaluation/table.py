"""The report as text."""

from collections.abc import Iterator
from itertools import groupby

from .intervals import FIGURES, Estimate, differences, of_row
from .report import Report, Row

LEGEND = """\
kbps: whole files; bare: without header or container; with LM: whole files, and the share of the
bare bits that it saves. SI-SNR (dB) is the median over clips; log-mel distance (dB, less is
better), PESQ (wideband), STOI and ViSQOL (its mode for speech, else that for audio: two scales) are
means. Opus and MP3 are set so that whole files have the
requested rate, LC3 without its container; the delay of all three is removed."""

_HEADS = {
    "si_snr_db": "SI-SNR",
    "mel_db": "mel",
    "pesq": "PESQ",
    "stoi": "STOI",
    "visqol": "ViSQOL",
}
_KIND = 11  # characters of a kind
_DIGITS = {"si_snr_db": 2, "mel_db": 2, "pesq": 2, "stoi": 3, "visqol": 2}


def table(report: Report) -> str:
    """Each kind of recording in turn, then the use of the codebooks and what was skipped."""
    return "\n".join([*_kinds(report), LEGEND, *_codebooks(report), *_left_out(report)]) + "\n"


def intervals_table(report: Report) -> str:
    """The interval of each figure, and of what the first contender has more than each other."""
    own = [(group[0], of_row(group)) for group in report.groups.values()]
    lines = ["", "95 % intervals over clips", *_heads(report)]
    lines += [_bounds(m.category, m.kbps, m.contender, report, found) for m, found in own]
    compared = list(differences(report))
    if compared:
        first = report.contenders[0]
        lines += ["", f"{first} less others, on the same clips", *_heads(report)]
        lines += [_bounds(d.category, d.kbps, d.other, report, d.figures, "+") for d in compared]
    return "\n".join(lines) + "\n"


def _heads(report: Report) -> list[str]:
    figures = "".join(f" {_HEADS[name]:^17}" for name in FIGURES)
    return [f"{'kind':{_KIND}} {'asked':>5} {'codec':{_width(report)}}{figures}".rstrip()]


def _bounds(
    kind: str,
    kbps: float,
    contender: str,
    report: Report,
    found: dict[str, Estimate],
    sign: str = "",
) -> str:
    line = f"{kind:{_KIND}.{_KIND}} {kbps:5g} {contender:{_width(report)}}"
    for name in FIGURES:
        bounds = "-"
        if (each := found.get(name)) is not None:
            form = f"{sign}.{_DIGITS[name]}f"
            bounds = f"{each.low:{form}} … {each.high:{form}}"
        line += f" {bounds:^17}"
    return line.rstrip()


def _width(report: Report) -> int:
    return max([len(name) for name in report.contenders] + [5])


def _kinds(report: Report) -> Iterator[str]:
    width = _width(report)
    heads = f"{'asked':>5} {'codec':{width}} {'kbps':>6} {'bare':>6} {'with LM':>7} {'saved':>6}"
    heads += f" {'SI-SNR':>7} {'mel':>6} {'PESQ':>5} {'STOI':>6} {'ViSQOL':>6} {'clips':>5}"
    for kind, members in groupby(report.rows, key=lambda row: row.category):
        rows = list(members)
        seconds = max(row.seconds for row in rows)
        yield f"{kind} ({max(row.clips for row in rows)} clips, {seconds:.0f} s)"
        yield heads
        yield from (_line(row, width) for row in rows)
        yield ""


def _line(row: Row, width: int) -> str:
    return (
        f"{row.kbps:5g} {row.contender:{width}} {row.kbps_written:6.2f} {row.kbps_payload:6.2f}"
        f" {_number(row.kbps_lm, 7, 2)} {_number(row.lm_saving_percent, 5, 1, '%')}"
        f" {row.si_snr_db:7.2f} {row.mel_db:6.2f} {_number(row.pesq, 5, 2)}"
        f" {_number(row.stoi, 6, 3)} {_number(row.visqol, 6, 2)} {row.clips:5}"
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
        counts = {"PESQ": row.pesq_clips, "STOI": row.stoi_clips, "ViSQOL": row.visqol_clips}
        for measure, count in counts.items():
            if 0 < count < row.clips:
                yield (
                    f"{measure} of {row.contender} at {row.kbps:g} kbps:"
                    f" {row.clips - count} clips left out, which it cannot take"
                )
    for failure in report.failures:
        yield f"{failure.contender} at {failure.kbps:g} kbps, {failure.clip}: {failure.reason}"
