"""What pip has in its cache; nobody else knows its layout."""
