"""Notes as the bytes of a Standard MIDI File (format 0: one track)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ....errors import TrainingDataError

TICKS = 480  # a quarter note
DRUMS = 9  # the channel of drums in General MIDI


@dataclass(frozen=True)
class Note:
    """Times in quarter notes; `pitch` 60 is middle C; `velocity` 1 to 127."""

    channel: int
    pitch: int
    start: float
    length: float
    velocity: int


@dataclass(frozen=True)
class Player:
    """A channel's General MIDI program, its volume and its place (0 left, 127 right)."""

    channel: int
    program: int
    volume: int = 100
    place: int = 64


def midi_file(players: Sequence[Player], notes: Sequence[Note], tempo: float) -> bytes:
    """A file at `tempo` quarter notes per minute. Raises `TrainingDataError` for bad notes."""
    events: list[tuple[int, int, bytes]] = [(0, 0, b"\xff\x51\x03" + _tempo(tempo))]
    for player in players:
        _check(player.channel, player.program, player.volume, player.place)
        events.append((0, 1, bytes([0xC0 | player.channel, player.program])))
        events.append((0, 1, bytes([0xB0 | player.channel, 7, player.volume])))
        events.append((0, 1, bytes([0xB0 | player.channel, 10, player.place])))
    for note in notes:
        _check(note.channel, note.pitch, note.velocity)
        start, end = round(note.start * TICKS), round((note.start + note.length) * TICKS)
        if not 0 <= start < end:
            raise TrainingDataError(f"{note} ends before it begins")
        events.append((start, 3, bytes([0x90 | note.channel, note.pitch, note.velocity])))
        events.append((end, 2, bytes([0x80 | note.channel, note.pitch, 0])))
    track = bytearray()
    now = 0
    for tick, _, event in sorted(events):  # in one tick: ends before starts
        track += _variable(tick - now) + event
        now = tick
    track += b"\x00\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _check(channel: int, *values: int) -> None:
    if not 0 <= channel < 16 or not all(0 <= value < 128 for value in values):
        raise TrainingDataError(f"no MIDI event: channel {channel}, values {values}")


def _tempo(tempo: float) -> bytes:
    return round(60e6 / tempo).to_bytes(3, "big")  # microseconds a quarter


def _variable(value: int) -> bytes:
    """Seven bits per byte, the highest first; all but the last byte have their top bit set."""
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(0x80 | value & 0x7F)
    return bytes(reversed(found))
