"""Check the cache entries for the pins of a call: gather evidence, reach verdicts, and apply them."""
