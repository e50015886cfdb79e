"""The steps after pip has ended: a second run, an explanation of a failure, a check of the environment, and build records."""
