"""Writes the OpenAPI document, or checks that the committed one is up to date.

python -m service.openapi --write openapi.json
python -m service.openapi --check openapi.json
"""

import argparse
import json
import sys
from pathlib import Path

from .app import create_app
from .settings import Settings


def render() -> str:
    """The document as it is committed: that of the default settings."""
    app = create_app(Settings.model_construct(device="cpu"))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """0 written or equal, 1 different."""
    parser = argparse.ArgumentParser(prog="python -m service.openapi", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write the document")
    what.add_argument("--check", type=Path, metavar="FILE", help="compare it with the file")
    options = parser.parse_args(arguments)
    text = render()
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
        return 0
    if options.check.is_file() and options.check.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{options.check} is out of date: run make openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
