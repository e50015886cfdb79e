"""pip's cache. No other package knows its layout."""
