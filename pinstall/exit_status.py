"""The exit statuses of pip that pinstall must tell apart, and those of pinstall and pinstall-cache."""

# pip's own.
FAILED = 1
REFUSED_OR_CRASHED = 2  # wrong arguments or a crash: pip has one status for both; pinstall refuses a call with it, too

# pinstall's own.
CONTRADICTED = 90  # pip succeeded, but the environment contradicts a pin
NO_ENVIRONMENT = 91
COULD_NOT_START = 92
INTERRUPTED = 130  # by Ctrl-C, as shells have it; within pinstall, also for a failed pip that any signal told to end

# Of pinstall --explain: it would keep a cached file from pip, could not check something, ignores a setting, or has failed.
WOULD_CHANGE = 1
# Of pinstall-cache: an error, something bad that was found, or an entry that could not be handled.
BAD = 1
