"""What can be proven of a file."""
