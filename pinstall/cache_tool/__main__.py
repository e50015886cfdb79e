"""The entry point of ``pinstall-cache``: if pinstall's own dependencies are broken, it prints the command that repairs them."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; return its exit status.

    If an import fails, prints the command that repairs pinstall's dependencies, and returns 1; if `repair_advice` knows no
    such command, raises that `ImportError`.
    """
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
