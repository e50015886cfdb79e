"""Access to pip's cache. No other package of pinstall knows its layout."""
