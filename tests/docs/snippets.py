"""The examples of the documentation, as they stand on its pages, and how each kind of them is run.

Every block in one of the languages `EXAMPLES` is run, in the order of the page and in one folder,
as a reader would, unless a comment before the block says why not:

<!-- not run: why -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "clients/*.md", "clients/*/README.md")
    for page in ROOT.glob(pattern)
)
EXAMPLES = ("bash", "python", "js", "ts")
"""Languages of blocks that are run."""
TEXTS = ("", "go", "hex", "json", "magic", "nginx", "text", "toml", "yaml")
"""Other kinds of blocks. The one in Go is run by tests/clients/test_go.py."""

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why_not>[^>]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page."""

    page: str
    line: int
    language: str
    code: str
    why_not: str | None
    """Why it is not run, where it is not."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Snippet]:
    """All blocks of code of a page."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        yield Snippet(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["why_not"],
        )


def examples(page: Path) -> list[Snippet]:
    """The blocks of a page that are run."""
    return [each for each in blocks(page) if each.language in EXAMPLES and each.why_not is None]
