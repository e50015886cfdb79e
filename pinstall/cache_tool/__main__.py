"""The door of pinstall-cache: where pinstall's own packages are not those that it needs, it says what mends them."""

from __future__ import annotations

import sys


def main() -> int:
    """Be the command, and return the exit status."""
    try:
        from pinstall.cache_tool import cli

        return cli.main()
    except ImportError as error:
        from pinstall import repair_advice

        cure = repair_advice.command(error)
        if not cure:
            raise
        print(
            f"ERROR: pinstall's own dependencies are missing or have a wrong version; to repair them, run: {cure}",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
