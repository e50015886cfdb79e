"""Value types: names, digests, links, pins and verdicts. No module here opens a file of the cache."""
