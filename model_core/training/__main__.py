"""`python -m model_core.training` is `encodec-train`."""

import sys

from .cli import main

sys.exit(main())
