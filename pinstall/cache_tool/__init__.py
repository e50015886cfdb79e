"""The command ``pinstall-cache``: what is in pip's cache, and whether it is sound."""
