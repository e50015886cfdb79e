"""What can be said of a file by its bytes."""
