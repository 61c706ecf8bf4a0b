"""`python -m model_core`: the same as the command `encodec`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
