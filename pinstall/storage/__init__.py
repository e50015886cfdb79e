"""pinstall's folder in pip's cache: lock, ledger, store and views. `actions` alone moves and deletes cache entries."""
