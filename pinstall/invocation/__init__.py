"""What the user asked of pip: arguments, variables, configuration and files."""
