"""pinstall's own folder: the lock, the ledger, the store and the views; and the one module that moves and deletes."""
