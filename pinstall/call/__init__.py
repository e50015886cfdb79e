"""What the user asked of pip."""
