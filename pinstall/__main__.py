"""``python -m pinstall``."""

import sys

# The current folder is no place to import from: pip drops it as well (``pip/__main__.py``).
if not sys.flags.safe_path:
    del sys.path[0]

from pinstall.cli import main

sys.exit(main(as_module=True))
