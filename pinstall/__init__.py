"""``pip install`` whose cache cannot lie: what a pin names is what gets installed, whatever is in pip's cache."""

__version__ = "0.1.0"
