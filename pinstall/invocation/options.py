"""The options of ``pip install``, ``download``, ``wheel`` and ``lock``, pip 23.0 to 26.3, as one table.

pinstall parses with the standard library's ``optparse``, as pip does. So clusters (``-qrFILE``), ``--name=value``, unambiguous
abbreviations and ``--`` have the same meaning as in pip.
"""

from __future__ import annotations

import itertools
import optparse
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Version = tuple[int, ...]


class UnreadableCallError(Exception):
    """pip would refuse the call, or pinstall does not understand it: pip has to handle it alone."""


class Option(NamedTuple):
    """One option: its spellings (``names``), its kind, and the pip versions and commands that have it.

    The versions are those from ``since`` to ``until``, inclusive: ``until=(25, 2)`` includes 25.2.1. ``names`` and ``commands``
    are separated by spaces.

    ``dest`` is pip's name of the value. ``in_file`` is True if requirements files may contain the option. ``action`` is one of

    - ``flag``, ``unflag``, ``count``, ``value``, ``int``, ``float`` and ``help``;
    - ``list``: a list, which the configuration separates by white space;
    - ``raw``: a list whose configured value is not split, because pip reads it in a callback;
    - ``pair``: a list of (option, value), which all options of one ``dest`` share, because their order matters;
    - ``off``: ``--no-cache-dir``.
    """

    names: str
    action: str
    dest: str
    since: Version = (0,)
    until: Version = (999,)
    in_file: bool = False
    commands: str = "install download wheel lock"


COMMANDS = ("install", "download", "wheel", "lock")
_INSTALL = "install"
_BUILDS = "install wheel lock"

TABLE = (
    Option("-r --requirement", "list", "requirements", in_file=True),
    Option("-c --constraint", "list", "constraints", in_file=True),
    Option("--build-constraint", "list", "build_constraints", since=(25, 3)),
    Option("--requirements-from-script", "list", "requirements_from_scripts", since=(26, 0)),
    Option("--no-deps --no-dependencies", "flag", "ignore_dependencies"),
    Option("--only-deps --only-dependencies", "flag", "only_dependencies", since=(26, 2)),
    Option("-e --editable", "list", "editables", in_file=True, commands=_BUILDS),
    Option("--dry-run", "flag", "dry_run", commands=_INSTALL),
    Option("-t --target", "value", "target_dir", commands=_INSTALL),
    Option("--platform", "list", "platforms", commands="install download"),
    Option("--python-version", "raw", "python_version", commands="install download"),
    Option("--implementation", "value", "implementation", commands="install download"),
    Option("--abi", "list", "abis", commands="install download"),
    Option("--user", "flag", "use_user_site", commands=_INSTALL),
    Option("--no-user", "unflag", "use_user_site", commands=_INSTALL),
    Option("--root", "value", "root_path", commands=_INSTALL),
    Option("--prefix", "value", "prefix_path", commands=_INSTALL),
    Option("--src --source --source-dir --source-directory", "raw", "src_dir"),
    Option("-U --upgrade", "flag", "upgrade", commands=_INSTALL),
    Option("--upgrade-strategy", "value", "upgrade_strategy", commands=_INSTALL),
    Option("--force-reinstall", "flag", "force_reinstall", commands=_INSTALL),
    Option("-I --ignore-installed", "flag", "ignore_installed", commands=_INSTALL),
    Option("--ignore-requires-python", "flag", "ignore_requires_python"),
    Option("--no-build-isolation", "unflag", "build_isolation"),
    Option("--use-pep517", "flag", "use_pep517"),
    Option("--no-use-pep517", "unflag", "use_pep517", until=(25, 2)),
    Option("--check-build-dependencies", "flag", "check_build_deps"),
    Option("--break-system-packages", "flag", "override_externally_managed", since=(23, 0, 1), commands=_INSTALL),
    Option("--config-settings", "raw", "config_settings", until=(23, 0), commands=_BUILDS),
    Option("-C --config-settings", "raw", "config_settings", since=(23, 1), in_file=True, commands=_BUILDS),
    Option("--install-option", "list", "install_options", until=(23, 0), in_file=True, commands=_INSTALL),
    Option("--global-option", "list", "global_options", until=(25, 2), in_file=True, commands="install download wheel"),
    Option("--compile", "flag", "compile", commands=_INSTALL),
    Option("--no-compile", "unflag", "compile", commands=_INSTALL),
    Option("--no-warn-script-location", "unflag", "warn_script_location", commands=_INSTALL),
    Option("--no-warn-conflicts", "unflag", "warn_about_conflicts", commands=_INSTALL),
    Option("--require-hashes", "flag", "require_hashes", in_file=True),
    Option("--no-require-hashes", "flag", "no_require_hashes", since=(26, 2), in_file=True),
    Option("--progress-bar", "value", "progress_bar"),
    Option("--root-user-action", "value", "root_user_action", commands=_INSTALL),
    Option("--report", "value", "json_report_file", commands=_INSTALL),
    Option("--group", "raw", "dependency_groups", since=(25, 1)),
    Option("--no-clean", "flag", "no_clean"),
    Option("-d --dest --destination-dir --destination-directory", "value", "download_dir", commands="download"),
    Option("-w --wheel-dir", "value", "wheel_dir", commands="wheel"),
    Option("--build-option", "list", "build_options", until=(25, 2), commands="wheel"),
    Option("--no-verify", "flag", "no_verify", commands="wheel"),
    Option("-o --output", "value", "output_file", commands="lock"),
    Option("--pre", "flag", "pre", in_file=True),
    Option("--all-releases", "raw", "all_releases", since=(26, 0), in_file=True),
    Option("--only-final", "raw", "only_final", since=(26, 0), in_file=True),
    Option("--no-binary", "pair", "format_control", in_file=True),
    Option("--only-binary", "pair", "format_control", in_file=True),
    Option("--prefer-binary", "flag", "prefer_binary", in_file=True),
    Option("-i --index-url --pypi-url", "value", "index_url", in_file=True),
    Option("--extra-index-url", "list", "extra_index_urls", in_file=True),
    Option("--no-index", "flag", "no_index", in_file=True),
    Option("--refresh-package", "raw", "refresh_package", since=(26, 2)),
    Option("-f --find-links", "list", "find_links", in_file=True),
    Option("--uploaded-prior-to", "raw", "uploaded_prior_to", since=(26, 0)),
    Option("-h --help", "help", "help"),
    Option("--debug", "flag", "debug_mode"),
    Option("--isolated", "flag", "isolated_mode"),
    Option("--require-virtualenv --require-venv", "flag", "require_venv"),
    Option("--python", "value", "python"),
    Option("-v --verbose", "count", "verbose"),
    Option("-V --version", "flag", "version", until=(26, 2)),
    Option("-q --quiet", "count", "quiet"),
    Option("--log --log-file --local-log", "value", "log"),
    Option("--no-input", "flag", "no_input"),
    Option("--keyring-provider", "value", "keyring_provider", since=(23, 1)),
    Option("--proxy", "value", "proxy"),
    Option("--no-proxy-env", "flag", "no_proxy_env", since=(26, 2)),
    Option("--retries", "int", "retries"),
    Option("--timeout --default-timeout", "float", "timeout"),
    Option("--exists-action", "list", "exists_action"),
    Option("--trusted-host", "list", "trusted_hosts", in_file=True),
    Option("--cert", "value", "cert"),
    Option("--client-cert", "value", "client_cert"),
    Option("--cache-dir", "value", "cache_dir"),
    Option("--no-cache-dir", "off", "cache_dir"),
    Option("--disable-pip-version-check", "flag", "disable_pip_version_check"),
    Option("--no-color", "flag", "no_color"),
    Option("--no-python-version-warning", "flag", "no_python_version_warning"),
    Option("--use-feature", "list", "features_enabled", in_file=True),
    Option("--use-deprecated", "list", "deprecated_features_enabled"),
    Option("--resume-retries", "int", "resume_retries", since=(25, 1)),
)

HASH = Option("--hash", "raw", "hashes", in_file=True)


def _pair(option: Any, _written: str, value: str, parser: Any) -> None:
    parser.values.ensure_value(option.dest, []).append((option.get_opt_string(), value))


_OPTPARSE: dict[str, dict[str, Any]] = {
    "flag": {"action": "store_const", "const": True},
    "unflag": {"action": "store_const", "const": False},
    "off": {"action": "store_const", "const": False},
    "help": {"action": "store_const", "const": True},
    "count": {"action": "count"},
    "value": {"action": "store", "type": "string"},
    "int": {"action": "store", "type": "int"},
    "float": {"action": "store", "type": "float"},
    "list": {"action": "append", "type": "string"},
    "raw": {"action": "append", "type": "string"},
    "pair": {"action": "callback", "type": "string", "callback": _pair},
}


def table(pip: Version, command: str = "") -> Iterator[Option]:
    """Yield the options of version *pip* of pip: those of one *command*, or of all if it is "".

    An unknown version *pip*, ``()``, counts as the newest.
    """
    pip = pip or (999,)
    found = (row for row in TABLE if row.since <= pip[: len(row.since)] and pip[: len(row.until)] <= row.until)
    return (row for row in found if not command or command in row.commands.split())


def general() -> Iterator[Option]:
    """Yield the options that pip takes before a command, too: those of all versions."""
    return itertools.dropwhile(lambda row: row.dest != "help", TABLE)


def file_table(pip: Version) -> Iterator[Option]:
    """Yield the options that a requirements file may contain for version *pip* of pip; for the newest, if that is ``()``."""
    yield from (row for row in table(pip) if row.in_file)
    yield HASH


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        raise UnreadableCallError(msg)


def make_parser(rows: Iterator[Option]) -> optparse.OptionParser:
    """Return an optparse parser for *rows* that raises `UnreadableCallError` where pip would print its usage and exit."""
    parser = _Parser(usage=optparse.SUPPRESS_USAGE, add_help_option=False)
    for row in rows:
        parser.add_option(*row.names.split(), dest=row.dest, **_OPTPARSE[row.action])
    return parser


def end(arguments: Sequence[str], pip: Version, command: str) -> int:
    """Return the index in the *arguments* of a pip *command* at which more options can be inserted.

    It is that of the ``--`` that ends the options, or else the number of *arguments*. An unknown version *pip*, ``()``, counts
    as the newest. Raises `UnreadableCallError` if pip would refuse the arguments.
    """
    parser = make_parser(table(pip, command))
    parse(parser, arguments, {})
    if "--" not in arguments:
        return len(arguments)
    # optparse stops at a "--" that ends the options, and leaves the arguments after it in ``rargs``: at least the "" that is
    # added here. If the "--" is the value of an option instead, optparse reads to the end, and nothing is left.
    parse(parser, [*arguments, ""], {})
    return len(arguments) - len(parser.rargs) if parser.rargs else len(arguments)


def lacks_value(arguments: Sequence[str]) -> bool:
    """Return whether the last of *arguments* is an option that still needs a value.

    Return False also if the newest pip would refuse the arguments even with a value, for example because it lacks one of the
    options.
    """
    if not arguments or not arguments[-1].startswith("-"):
        return False
    parser = make_parser(table((999,)))
    try:
        parse(parser, arguments, {})
    except UnreadableCallError:
        try:
            parse(parser, [*arguments, "0"], {})
        except UnreadableCallError:
            return False
        return True
    return False


def parse(
    parser: optparse.OptionParser, arguments: Sequence[str], defaults: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Parse *arguments* as pip does, with the configured values as *defaults*.

    Returns the values by ``dest``, and the positional arguments. As in pip (``cli/parser.py``), a list is appended to the
    configured one, and a count added to it; any other value replaces the configured one. A value that is set nowhere is None.
    Raises `UnreadableCallError` if pip would refuse the arguments.
    """
    fresh = {dest: list(value) if isinstance(value, list) else value for dest, value in defaults.items()}
    values, positional = parser.parse_args(list(arguments), optparse.Values({**parser.defaults, **fresh}))
    return vars(values), positional
