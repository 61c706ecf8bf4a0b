"""The codec's share of an Ogg file (RFC 3533: pages of up to 255 segments)."""

from ..errors import PeerError

_HEAD = 27  # bytes of a page before its table of segments
_FULL = 255  # bytes; a segment of this size continues in the next one


def packet_sizes(data: bytes) -> list[int]:
    """Bytes of each packet of an Ogg file with one stream. Raises `PeerError`."""
    sizes, open_packet, place = [], 0, 0
    while place < len(data):
        if data[place : place + 4] != b"OggS" or place + _HEAD > len(data):
            raise PeerError("its output is not an Ogg file")
        count = data[place + _HEAD - 1]
        table = data[place + _HEAD : place + _HEAD + count]
        for segment in table:
            open_packet += segment
            if segment < _FULL:
                sizes.append(open_packet)
                open_packet = 0
        place += _HEAD + count + sum(table)
    return sizes
