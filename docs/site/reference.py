"""The pages that are made from the code."""

from collections.abc import Callable
from functools import partial

from . import commands, http, python, settings

PAGES: dict[str, Callable[[], str]] = {
    "reference/http.md": http.page,
    "reference/encodec-serve.md": settings.page,
    **{f"reference/{name}.md": partial(commands.page, name) for name in commands.PARSERS},
    **{f"reference/python/{name}.md": partial(python.page, name) for name in python.PACKAGES},
}
"""What makes each page, by its place on the site."""
