"""Answer questions by running the code of one pip. Start as ``python -P judge.py FOLDER``, where FOLDER contains that pip.

Each line of standard input is a question, a JSON object: ``{"ask": name, ...arguments}``. Each line of standard output is a
reply: ``{"answer": ...}``, or ``{"refused": "Type: message"}`` if pip raised an error or exited.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import inspect
import io
import json
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PLACE = re.compile(r"-[rc] (.*) \(line (\d+)\)", re.DOTALL)


class _Pip:
    """Access to pip's modules by their names in ``pip._internal`` (or ``pip._vendor``)."""

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module("pip._internal." + name.replace("__", "."))

    @staticmethod
    def vendored(name: str) -> Any:
        return importlib.import_module("pip._vendor." + name)


pip = _Pip()


@contextlib.contextmanager
def _sandbox(environ: dict[str, str], prefix: str, folder: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, environ, clear=True), mock.patch("sys.prefix", prefix), contextlib.chdir(folder):
        yield


def _plain(value: Any) -> Any:
    """Return *value* in a form that JSON can represent."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    found = {name: _plain(getattr(value, name)) for name in ("no_binary", "only_binary") if hasattr(value, name)}
    return found or repr(value)


def _rows(options: Any) -> list[dict[str, Any]]:
    return [
        {
            "names": [*option._short_opts, *option._long_opts],
            "dest": option.dest,
            "action": option.action,
            "const": _plain(getattr(option, "const", None)),
            "type": option.type,
            "takes": option.nargs if option.takes_value() else 0,
        }
        for option in options
    ]


def options(command: str) -> list[dict[str, Any]] | None:
    """Return all options of a *command*; None if this pip does not have it."""
    if command not in pip.commands.commands_dict:
        return None
    return _rows(pip.commands.create_command(command).parser.option_list_all)


def commands() -> list[str]:
    """Return the names of all commands."""
    return [*pip.commands.commands_dict]


def file_options() -> list[dict[str, Any]]:
    """Return all options of requirements files."""
    return _rows(pip.req__req_file.build_parser().option_list)


def _exit(status: int = 0, message: str | None = None) -> None:
    raise SystemExit(message or status)


def _command(argv: list[str], name: str) -> Any:
    made = pip.commands.create_command(name, isolated="--isolated" in argv)
    made.parser.print_usage = lambda *_: None
    made.parser.exit = _exit
    # The parsers share these defaults and append to them, because a pip process parses only once.
    made.parser.defaults = copy.deepcopy(made.parser.defaults)
    return made


@functools.cache
def _session() -> Any:
    return pip.network__session.PipSession()


def call(argv: list[str], environ: dict[str, str], prefix: str, folder: str, name: str = "install") -> dict[str, Any]:
    """Return how the pip command *name* reads its input, up to the point where it would search for anything."""
    with _sandbox(environ, prefix, folder):
        command = _command(argv, name)
        defaults = _plain(command.parser.defaults)
        values, positional = command.parse_args(list(argv))
        found = {"defaults": defaults, "values": _plain(vars(values)), "verbosity": values.verbose - values.quiet}
        values.ensure_value("editables", [])  # as `DownloadCommand.run` does
        session = _session()
        finder = command._build_package_finder(options=values, session=session)
        found["lines"] = _lines(command, values, positional, finder, session)
        # Lines of requirements files may set these.
        found["values"] |= {dest: value for dest, value in vars(values).items() if dest.endswith("require_hashes")}
        found["index_urls"], found["find_links"] = list(finder.search_scope.index_urls), list(finder.search_scope.find_links)
        found["formats"] = _plain(finder.format_control)
        found["cache_dir"] = _cache_folder(values.cache_dir)
        return found


def _cache_folder(value: Any) -> str | None:
    if not value:
        return None
    if value == pip.locations.USER_CACHE_DIR:  # computed when pip was imported, with other variables
        value = pip.utils__appdirs.user_cache_dir("pip")
    folder = pip.utils__misc.normalize_path(value)
    return folder if pip.utils__filesystem.check_path_owner(folder) else None


def _lines(command: Any, values: Any, positional: list[str], finder: Any, session: Any) -> list[dict[str, Any]]:
    """Return the lines from which ``get_requirements`` would make requirements, in its order."""
    found: list[dict[str, Any]] = []
    made = mock.Mock(has_hash_options=False)

    def from_file(parsed: Any, **_: Any) -> Any:
        place = _PLACE.fullmatch(parsed.comes_from)
        assert place is not None
        hashes = (parsed.options or {}).get("hashes") or {}
        found.append(
            {
                "text": parsed.requirement,
                "file": os.path.abspath(place[1]),
                "number": int(place[2]),
                "constraint": parsed.constraint,
                "editable": parsed.is_editable,
                "hashes": [f"{name}:{value}" for name, values in hashes.items() for value in values],
                "settings": [] if parsed.is_editable else _settings((parsed.options or {}).get("config_settings")),
            }
        )
        return made

    def from_argument(text: str, *_: Any, editable: bool = False, config_settings: Any = None, **__: Any) -> Any:
        settings = [] if editable else _settings(config_settings)
        line = {"text": text, "file": "", "number": 0, "constraint": False, "editable": editable}
        found.append({**line, "hashes": [], "settings": settings})
        return made

    def from_lock(*arguments: Any, **more: Any) -> Any:
        requirement, link = original(*arguments, **more)
        hashes = [f"{name}:{value}" for name, values in requirement.hash_options.items() for value in values]
        line = {"text": str(requirement.req), "file": "", "number": 0, "constraint": False, "editable": requirement.editable}
        found.append({**line, "hashes": hashes, "settings": [], **({"locked": link.url} if link else {})})
        return made, None

    def from_requirement(text: str, *_: Any, **__: Any) -> Any:
        return from_argument(re.sub(r"(?<=\w)@ ", " @ ", text))  # the form that packaging writes since 26.0

    def from_editable(text: str, *_: Any, **__: Any) -> Any:
        return from_argument(text, editable=True)

    module = pip.cli__req_command
    original: Any = getattr(module, "install_req_from_pylock_package", None)
    with (
        mock.patch.object(module, "install_req_from_req_string", from_requirement, create=True),
        mock.patch.object(module, "install_req_from_pylock_package", from_lock, create=True),
        mock.patch.object(module, "install_req_from_parsed_requirement", from_file),
        mock.patch.object(module, "install_req_from_line", from_argument),
        mock.patch.object(module, "install_req_from_editable", from_editable),
    ):
        try:
            command.get_requirements(positional, values, finder, session)
        except pip.exceptions.CommandError as error:
            if not str(error).startswith("You must give at least one requirement"):
                raise
    return found


def _settings(found: Any) -> list[str]:
    pairs = [
        (key, value) for key, values in (found or {}).items() for value in ([values] if isinstance(values, str) else values)
    ]
    return sorted(f"{key}={value}" for key, value in pairs)


def configuration(environ: dict[str, str], prefix: str, folder: str, *, isolated: bool) -> dict[str, Any]:
    """Return the configuration files that pip tries to read, weakest first, and its default cache folder."""
    found: list[tuple[str, str]] = []
    module = pip.configuration
    original = module.Configuration._load_file

    def load(self: Any, kind: str, path: str) -> Any:
        found.append((kind, path))
        return original(self, kind, path)

    with _sandbox(environ, prefix, folder), mock.patch.object(module.Configuration, "_load_file", load):
        module.Configuration(isolated).load()
        files = [path for kind in module.OVERRIDE_ORDER for its, path in found if its == kind]
        return {"files": files, "cache": pip.utils__appdirs.user_cache_dir("pip")}


def request_key(url: str) -> dict[str, str]:
    """Return the name under which the cache stores the response to a URL, and its path below the folder of HTTP entries."""
    request = pip.vendored("requests").Request("GET", url.split("#", 1)[0]).prepare()
    auth = pip.network__auth.MultiDomainBasicAuth(prompting=False)
    with mock.patch.object(auth, "_get_new_credentials", return_value=(None, None)):
        request = auth(request)
    name = pip.vendored("cachecontrol.controller").CacheController.cache_url(request.url)
    return {"name": name, "path": pip.network__cache.SafeFileCache("/")._get_cache_path(name)}


def wheel_path(url: str, hashes: dict[str, str]) -> str:
    """Return the folder of the wheels built from a link."""
    more = {"format_control": None} if "format_control" in inspect.signature(pip.cache.SimpleWheelCache).parameters else {}
    found = pip.cache.SimpleWheelCache("/", **more)
    return str(found.get_path_for_link(pip.models__link.Link(url, hashes=hashes)))


def formats(given: list[list[str]], project: str) -> dict[str, Any]:
    """Return pip's format control after the options in *given*, and the formats that it allows for *project*."""
    control = pip.models__format_control.FormatControl()
    for option, value in given:
        ours, theirs = control.no_binary, control.only_binary
        control.handle_mutual_excludes(value, *((ours, theirs) if option == "--no-binary" else (theirs, ours)))
    return {**_plain(control), "allowed": sorted(control.get_allowed_formats(project))}


def interpreter() -> list[str]:
    """Return the interpreter's short name and version, as in the key of a built wheel."""
    tags = pip.vendored("packaging.tags")
    return [tags.interpreter_name(), tags.interpreter_version()]


def absolute(base: str, href: str) -> str:
    """Return the URL of an anchor."""
    link = pip.models__link.Link.from_element({"href": href}, page_url=base, base_url=base)
    return str(link.url)


def path_to_url(path: str, folder: str) -> str:
    """Return the URL of a path."""
    with contextlib.chdir(folder):
        return str(pip.utils__urls.path_to_url(path))


def url_to_path(url: str) -> str:
    """Return the path of a ``file:`` URL."""
    return str(pip.utils__urls.url_to_path(url))


def link(url: str) -> dict[str, Any]:
    """Return the parts of the link that pip makes of a URL."""
    return _link(pip.models__link.Link(url))


def _link(made: Any) -> dict[str, Any]:
    metadata = made.metadata_link()
    return {
        "url": made.url_without_fragment,
        "hashes": list(made._hashes.items()),
        "subdirectory": made.subdirectory_fragment,
        "filename": made.filename,
        "metadata": None if metadata is None else {"url": metadata.url, "hashes": list(metadata._hashes.items())},
    }


def page(content: str, content_type: str, encoding: str | None, url: str) -> list[dict[str, Any]]:
    """Return the links of a page."""
    collector = pip.index__collector
    made = collector.IndexContent(content.encode("latin-1"), content_type, encoding, url, cache_link_parsing=False)
    return [_link(link) for link in collector.parse_links(made)]


def charset(content_type: str) -> str | None:
    """Return the encoding that a Content-Type states."""
    found = pip.index__collector._get_encoding_from_headers({"Content-Type": content_type})
    return None if found is None else str(found)


def label(filename: str, project: str) -> str | None:
    """Return the version that pip reads in the name of a file on a page; None if the file is not one of the project."""
    if filename.endswith(".whl"):
        found = pip.models__wheel.Wheel(filename)
        can_be_supported = any(all(str(tag).split("-")) for tag in found.file_tags)
        return str(found.version) if _canonical(found.name) == project and can_be_supported else None
    evaluator = pip.index__package_finder.LinkEvaluator(
        project_name=project,
        canonical_name=project,
        formats=frozenset({"binary", "source"}),
        target_python=pip.models__target_python.TargetPython(py_version_info=(3, 7, 0)),
        allow_yanked=True,
        ignore_requires_python=True,
    )
    kind, detail = evaluator.evaluate_link(pip.models__link.Link(f"https://host/{quote(filename)}"))
    if kind.name != "candidate":
        return None
    return str(pip.vendored("packaging.version").Version(detail))


def _canonical(name: str) -> str:
    return str(pip.vendored("packaging.utils").canonicalize_name(name))


def requirement(text: str, folder: str) -> dict[str, Any]:
    """Return the parts of the requirement that ``install_req_from_line`` makes of a line."""
    with contextlib.chdir(folder):
        made = pip.req__constructors.install_req_from_line(text, user_supplied=True)
    return {
        "name": made.req.name if made.req else None,
        "specifier": str(made.req.specifier) if made.req else "",
        "url": made.link.url if made.link else "",
        "extras": sorted(made.extras),
        "applies": made.match_markers(),
        "pinned": made.req is not None and made.is_pinned,
    }


def head(data: str) -> dict[str, Any] | None:
    """Return what pip's cachecontrol reads from the first file of an entry (its bytes as latin-1)."""
    prepared = pip.vendored("requests").Request("GET", "https://host/").prepare()
    serializer = pip.vendored("cachecontrol.serialize").Serializer()
    found = serializer.loads(prepared, data.encode("latin-1"), io.BytesIO(b""))
    if found is None:
        return None
    return {"status": found.status, "headers": {name.lower(): value for name, value in found.headers.items()}}


def spent(data: str, tag: str, answer: dict[str, str]) -> dict[str, Any]:
    """Return how pip's cachecontrol treats an entry (its file as latin-1): for a new pip, and for one that receives a 304.

    The latter asked with *tag*, and receives the headers *answer*. ``later`` says whether other pips may use the entry that it
    leaves.
    """
    cache = pip.vendored("cachecontrol.cache").DictCache()
    controller = pip.vendored("cachecontrol.controller").CacheController(cache)
    request = pip.vendored("requests").Request
    url = "https://host/"
    cache.set(url, data.encode("latin-1"))
    begins, waits, comes = (request("GET", url, headers=headers).prepare() for headers in ({}, {"If-None-Match": tag}, {}))
    used = bool(controller.cached_request(begins))
    asks = controller.conditional_headers(begins)
    stays = cache.get(url) is not None
    told = pip.vendored("urllib3.response").HTTPResponse(b"", headers=answer, status=304, preload_content=False)
    content = controller.update_cached_response(waits, told).read(decode_content=False)
    later = bool(controller.cached_request(comes)) or controller.conditional_headers(comes).get("If-None-Match") == tag
    return {"used": used, "asks": asks, "stays": stays, "content": content.decode("latin-1"), "later": later}


_QUESTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        absolute,
        call,
        charset,
        commands,
        configuration,
        file_options,
        formats,
        head,
        interpreter,
        label,
        link,
        options,
        page,
        path_to_url,
        request_key,
        requirement,
        spent,
        url_to_path,
        wheel_path,
    )
}


@dataclasses.dataclass(frozen=True)
class _Refused:
    reason: str


def _answer(question: dict[str, Any]) -> Any:
    try:
        return _QUESTIONS[question.pop("ask")](**question)
    except AssertionError:
        raise
    except SystemExit as error:
        return _Refused(f"SystemExit: {error.code}")
    except Exception as error:  # noqa: BLE001 - any error would have ended this pip
        return _Refused(f"{type(error).__name__}: {error}")


def main() -> None:
    """Answer questions until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    if "JUDGE_STDERR" not in os.environ:
        os.dup2(nowhere, 2)
    sys.path.insert(0, sys.argv[1])
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        found = _answer(json.loads(line))
        reply = {"refused": found.reason} if isinstance(found, _Refused) else {"answer": found}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
