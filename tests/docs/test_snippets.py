"""Every example in the documentation runs, or says in a comment before it why it is not run."""

from pathlib import Path

import pytest

from tests.docs.running import Reader
from tests.docs.snippets import EXAMPLES, PAGES, ROOT, TEXTS, blocks, examples

README = ROOT / "README.md"
WITH_EXAMPLES = [page for page in PAGES if examples(page) and page != README]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    for snippet in blocks(page):
        assert snippet.language in (*EXAMPLES, *TEXTS), snippet


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, reader: Reader) -> None:
    for snippet in examples(page):
        reader.run(snippet)
