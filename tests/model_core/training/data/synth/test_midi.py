"""The file holds the notes: read back by the rules of the Standard MIDI File."""

import random
import struct

import pytest

from model_core.errors import TrainingDataError
from model_core.training.data.synth.composition import compose
from model_core.training.data.synth.midi import DRUMS, TICKS, Note, Player, midi_file


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Events of a format 0 file as (tick, bytes)."""
    assert data[:4] == b"MThd"
    assert struct.unpack(">IHHH", data[4:14]) == (6, 0, 1, TICKS)
    assert data[14:18] == b"MTrk"
    (size,) = struct.unpack(">I", data[18:22])
    track = data[22:]
    assert len(track) == size
    events, tick, at = [], 0, 0
    while at < size:
        delta = 0
        while True:
            byte = track[at]
            at += 1
            delta = delta << 7 | byte & 0x7F
            if byte < 0x80:
                break
        tick += delta
        status = track[at]
        length = 3 + track[at + 2] if status == 0xFF else 2 if status >> 4 == 0xC else 3
        events.append((tick, track[at : at + length]))
        at += length
    return events


def test_events_are_in_order_with_their_times() -> None:
    notes = [Note(0, 60, 0.0, 1.0, 90), Note(0, 60, 1.0, 300.0, 80), Note(DRUMS, 36, 0.5, 0.1, 99)]
    events = parse(midi_file([Player(0, 40, 100, 20), Player(DRUMS, 0)], notes, 120))
    assert events[0] == (0, b"\xff\x51\x03" + (500_000).to_bytes(3, "big"))
    assert (0, bytes([0xC0, 40])) in events
    assert (0, bytes([0xB0, 10, 20])) in events
    sounding = [event for event in events if event[1][0] >> 4 in (8, 9)]
    assert sounding == [
        (0, bytes([0x90, 60, 90])),
        (240, bytes([0x99, 36, 99])),
        (288, bytes([0x89, 36, 0])),
        (480, bytes([0x80, 60, 0])),
        (480, bytes([0x90, 60, 80])),
        (480 + 300 * 480, bytes([0x80, 60, 0])),
    ]
    assert events[-1][1] == b"\xff\x2f\x00"


@pytest.mark.parametrize(
    "note",
    [Note(16, 60, 0, 1, 90), Note(0, 128, 0, 1, 90), Note(0, 60, -1, 2, 90), Note(0, 60, 1, 0, 9)],
)
def test_notes_that_cannot_be_are_refused(note: Note) -> None:
    with pytest.raises(TrainingDataError):
        midi_file([], [note], 120)


@pytest.mark.parametrize("seed", range(40))
def test_every_piece_is_one_that_can_be_played(seed: int) -> None:
    piece = compose(20.0, random.Random(seed))
    ends = max(note.start + note.length for note in piece.notes) * 60 / piece.tempo
    assert 14 < ends < 23
    channels = [player.channel for player in piece.players]
    assert len(set(channels)) == len(channels)
    assert {note.channel for note in piece.notes} <= set(channels)
    assert parse(midi_file(piece.players, piece.notes, piece.tempo))
    assert compose(20.0, random.Random(seed)) == piece


def test_pieces_differ() -> None:
    pieces = [compose(10.0, random.Random(seed)) for seed in range(20)]
    assert len({round(piece.tempo, 3) for piece in pieces}) == 20
    assert len({player.program for piece in pieces for player in piece.players}) > 15
