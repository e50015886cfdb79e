"""pinstall's folder in pip's cache: lock, ledger, store and views. `actions` and `cleanup` change pip's own files."""
