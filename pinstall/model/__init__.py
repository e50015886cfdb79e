"""Values: names, digests, links, pins and verdicts. Nothing here opens a file of the cache."""
