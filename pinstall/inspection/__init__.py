"""Inspection of files by their bytes: integrity, names, build settings and libraries."""
