"""What pip's cache has for the pins of a call: evidence, verdicts, and what follows from them."""
