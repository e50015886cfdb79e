"""A drop-in ``pip install`` that verifies cached files before pip uses them, and removes only the bad ones."""

__version__ = "0.2.0"
