"""The command ``pinstall-cache``: list, verify and clean pip's cache and pinstall's store."""
