"""A call of pip, read from its arguments, variables, configuration and requirements files."""
