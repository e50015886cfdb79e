"""Serve ``python -m pinstall``: install into the running Python, unless ``--python`` or ``PIP_PYTHON`` names another one."""

import os
import sys

# The current folder is no place to import from: pip drops it as well (``pip/__main__.py``).
try:
    current = os.getcwd()
except OSError:
    current = ""  # it is gone, and Python has left it out
if not sys.flags.safe_path and sys.path[0] == current:
    del sys.path[0]

from pinstall.cli import script

script(as_module=True)
