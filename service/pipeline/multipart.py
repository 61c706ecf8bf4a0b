"""The one part `file` of a multipart/form-data body, as it arrives (RFC 7578)."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..http.problems import Problem, ProblemCode

PART = "file"
_PARAMETERS = "parameters go into the query, behind a '?' of the path"
FRAMING_BYTES = 64 * 1024
"""The most bytes of boundaries, part headers, preamble and epilogue together."""


class FilePart:
    """Fed with a multipart/form-data body, gives the bytes of its part `file`.

    Raises `Problem` for a body that is not well formed, and for any other or second part.
    """

    def __init__(self, content_type: str):
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise _malformed("the Content-Type has no boundary")
        self.content_type = "application/octet-stream"
        self.filename: str | None = None
        self.begun = False
        self._ended = False
        self._delimiter = b"\r\n--" + boundary
        self._preamble: bytearray | None = bytearray(b"\r\n")
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes of the body; those of the file in them."""
        if self._ended:
            return b""  # the epilogue
        try:
            self._parser.write(self._after_preamble(chunk))
        except FormParserError as error:
            raise _malformed(str(error)) from None
        data = b"".join(self._data)
        self._data.clear()
        return data

    def finish(self) -> None:
        """The body has ended."""
        if not self._ended:
            raise _malformed("the body ends before its last boundary")
        if not self.begun:
            raise _malformed(f"there is no part {PART!r}")

    def _after_preamble(self, chunk: bytes) -> bytes:
        """The bytes from the first boundary on; a preamble before it is ignored (RFC 2046)."""
        if self._preamble is None:
            return chunk
        searched = max(0, len(self._preamble) - len(self._delimiter) + 1)
        self._preamble += chunk
        start = self._preamble.find(self._delimiter, searched)
        if start < 0:
            if len(self._preamble) > FRAMING_BYTES:
                raise _malformed("there is no boundary")
            return b""
        begun, self._preamble = bytes(self._preamble[start + 2 :]), None
        return begun

    def _on_part_begin(self) -> None:
        if self.begun:
            raise _malformed(f"there is more than the one part {PART!r}; {_PARAMETERS}")

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._header(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or name != PART:
            raise _malformed(f"the part must be called {PART!r}, not {name[:100]!r}; {_PARAMETERS}")
        if (filename := options.get(b"filename")) is not None:
            self.filename = _unescaped(filename.decode("utf-8", "replace"))
        self.content_type = self._header(b"content-type") or self.content_type
        self.begun = True

    def _header(self, name: bytes) -> str:
        # `parse_options_header` encodes as latin-1 again, so UTF-8 file names survive.
        return self._headers.get(name, b"").decode("latin-1")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True


def _unescaped(filename: str) -> str:
    """Without what browsers and curl escape in the name of a file (WHATWG HTML, form data)."""
    for escaped, character in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        filename = filename.replace(escaped, character)
    return filename


def _malformed(detail: str) -> Problem:
    return Problem(ProblemCode.BAD_REQUEST, f"multipart/form-data: {detail}")
