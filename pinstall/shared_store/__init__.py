"""The shared store: builds of other machines, in a bucket or a folder that several machines use."""
