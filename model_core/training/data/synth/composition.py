"""Small random pieces of music by a few rules: chords, bass, a melody, drums."""

import random
from dataclasses import dataclass

from .midi import DRUMS, Note, Player

_SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
_PROGRESSIONS = (
    (0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (1, 4, 0, 0),
    (0, 6, 5, 4), (0, 2, 3, 4), (0, 5, 1, 4), (3, 0, 4, 5),
)  # fmt: skip
_KEYS, _GUITARS, _STRINGS, _ORGANS = range(8), range(24, 32), range(40, 52), range(16, 24)
_VOICES, _BRASS, _REEDS, _PIPES = range(52, 55), range(56, 64), range(64, 72), range(72, 80)
_LEADS, _PADS, _MALLETS, _PLUCKED = range(80, 88), range(88, 96), range(8, 16), range(104, 108)
_BASSES = range(32, 40)
_CHORDAL = (_KEYS, _KEYS, _GUITARS, _STRINGS, _ORGANS, _VOICES, _PADS, _PLUCKED)
_MELODIC = (_KEYS, _GUITARS, _STRINGS, _BRASS, _REEDS, _PIPES, _LEADS, _MALLETS, _PLUCKED)
_KICK, _SNARE, _HAT, _OPEN_HAT, _RIDE, _CRASH = 36, 38, 42, 46, 51, 49
_RHYTHMS = (
    (1.0, 1.0, 1.0, 1.0), (0.5, 0.5, 1.0, 1.0, 1.0), (1.5, 0.5, 1.0, 1.0), (2.0, 1.0, 1.0),
    (0.5,) * 8, (0.75, 0.75, 0.5, 1.0, 1.0), (0.25, 0.25, 0.5, 1.0, 2.0), (4.0,), (3.0, 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """The notes, the instruments and the tempo (quarter notes per minute)."""

    players: list[Player]
    notes: list[Note]
    tempo: float


@dataclass(frozen=True)
class _Harmony:
    """A key: `pitch` gives the note of a degree of its scale (7 is an octave up)."""

    root: int
    scale: tuple[int, ...]

    def pitch(self, degree: int) -> int:
        octave, step = divmod(degree, 7)
        return self.root + 12 * octave + self.scale[step]


def compose(seconds: float, source: random.Random) -> Piece:
    """A piece of about `seconds` in bars of four quarters; at least one bar."""
    tempo = source.uniform(60, 160)
    bars = max(1, round(seconds * tempo / 240))
    harmony = _Harmony(source.randint(43, 54), source.choice(list(_SCALES.values())))
    chords = [*source.choice(_PROGRESSIONS), *source.choice(_PROGRESSIONS)]
    roots = [chords[bar % len(chords)] for bar in range(bars)]
    roots[-1] = 0
    makers = [_chords, _bass, _melody, _drums, _arpeggio]
    chosen = [m for m in makers if source.random() < 0.75] or [_chords]
    players: list[Player] = []
    notes: list[Note] = []
    for channel, maker in enumerate(chosen):
        place = source.randint(24, 104)
        player, played = maker(channel, harmony, roots, source)
        players.append(Player(player.channel, player.program, source.randint(70, 110), place))
        notes += played
    return Piece(players, notes, tempo)


def _touch(source: random.Random, middle: int) -> int:
    return max(20, min(127, middle + source.randint(-14, 14)))


def _chords(
    channel: int, harmony: _Harmony, roots: list[int], source: random.Random
) -> tuple[Player, list[Note]]:
    rhythm = source.choice(_RHYTHMS)
    seventh = source.random() < 0.3
    notes = []
    for bar, root in enumerate(roots):
        start = 4.0 * bar
        for length in rhythm:
            for third in range(4 if seventh else 3):
                pitch = harmony.pitch(root + 2 * third)
                pitch += 12 if pitch < 55 else 0
                notes.append(Note(channel, pitch, start, 0.95 * length, _touch(source, 70)))
            start += length
    return Player(channel, source.choice(source.choice(_CHORDAL))), notes


def _bass(
    channel: int, harmony: _Harmony, roots: list[int], source: random.Random
) -> tuple[Player, list[Note]]:
    rhythm = source.choice(_RHYTHMS)
    notes = []
    for bar, root in enumerate(roots):
        start = 4.0 * bar
        for length in rhythm:
            degree = root + source.choice((0, 0, 0, 4, 2, 7))
            pitch = harmony.pitch(degree) - 12
            notes.append(Note(channel, pitch, start, 0.9 * length, _touch(source, 90)))
            start += length
    return Player(channel, source.choice(_BASSES)), notes


def _melody(
    channel: int, harmony: _Harmony, roots: list[int], source: random.Random
) -> tuple[Player, list[Note]]:
    """A walk along the scale that meets the chord at the beginning of each bar."""
    lift = source.choice((7, 7, 14))
    degree = lift
    notes = []
    for bar, root in enumerate(roots):
        start = 4.0 * bar
        for index, length in enumerate(source.choice(_RHYTHMS)):
            if index == 0:
                tones = [root + octave + t for octave in (0, 7) for t in (0, 2, 4)]
                degree = min(tones, key=lambda tone: abs(tone + lift - degree)) + lift
            else:
                degree += source.choice((-2, -1, -1, 1, 1, 2, 3, -3))
            degree = max(lift - 3, min(lift + 11, degree))
            if source.random() < 0.88:
                pitch = harmony.pitch(degree)
                notes.append(Note(channel, pitch, start, 0.97 * length, _touch(source, 96)))
            start += length
    return Player(channel, source.choice(source.choice(_MELODIC))), notes


def _arpeggio(
    channel: int, harmony: _Harmony, roots: list[int], source: random.Random
) -> tuple[Player, list[Note]]:
    step = source.choice((0.25, 0.5, 0.5, 1 / 3))
    order = source.choice(((0, 2, 4, 7), (0, 4, 2, 4), (7, 4, 2, 0), (0, 2, 4, 2)))
    notes = []
    for bar, root in enumerate(roots):
        for index in range(round(4 / step)):
            pitch = harmony.pitch(root + order[index % 4] + 7)
            start = 4.0 * bar + index * step
            notes.append(Note(channel, pitch, start, step, _touch(source, 72)))
    return Player(channel, source.choice(source.choice(_MELODIC))), notes


def _drums(
    channel: int, harmony: _Harmony, roots: list[int], source: random.Random
) -> tuple[Player, list[Note]]:
    del channel, harmony  # drums have their own channel and no key
    cymbal = source.choice((_HAT, _HAT, _RIDE, _OPEN_HAT))
    step = source.choice((0.25, 0.5, 1.0))
    kicks = sorted({0.0, *source.sample([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5], 2)})
    snares = source.choice(((1.0, 3.0), (2.0,), (1.0, 3.0, 3.75)))
    notes = []
    for bar in range(len(roots)):
        beats = [(_KICK, beat, 100) for beat in kicks] + [(_SNARE, beat, 92) for beat in snares]
        beats += [(cymbal, index * step, 62) for index in range(round(4 / step))]
        if bar % 4 == 0:
            beats.append((_CRASH, 0.0, 80))
        for drum, beat, velocity in beats:
            notes.append(Note(DRUMS, drum, 4.0 * bar + beat, 0.2, _touch(source, velocity)))
    return Player(DRUMS, source.choice((0, 8, 16, 24, 25, 32, 40))), notes
