"""Requirements in TOML: of dependency groups, scripts, lock files and projects in local folders.

packaging reads dependency groups and lock files. If the installed packaging is too old for one of these, only pip reads it.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.invocation import requirements_files
from pinstall.invocation.format_control import FormatControl
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import RequirementLine, UnreadSource
from pinstall.model import links
from pinstall.model.names import normalized, reference, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_LOCK = re.compile(r"pylock\.([^.]+\.)?toml")
_UPGRADE = "upgrade packaging in the environment that pinstall is installed in"
_EXTRAS = re.compile(r"(.+?)\s*\[([^\]]+)\]")
# PEP 723, "Reference implementation".
_SCRIPT = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


class Lock(NamedTuple):
    """A lock file that a call names, with the ``extras`` and ``groups`` that the call selects.

    ``default`` is True if the lock file's default groups are selected, too. ``formats`` are those of the call at the time when
    pip reads the file; before pip 26.3, which heeds no format options then, they are empty.
    """

    path: str
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    default: bool = False
    formats: FormatControl = FormatControl()


def is_lock(path: str) -> bool:
    """Return whether pip 26.1 and later treat this path or URL as a lock file, by its name (``pylock.toml`` specification)."""
    return _LOCK.fullmatch(os.path.basename(re.split("[?#]", path)[0] if requirements_files.is_url(path) else path)) is not None


def without_extras(path: str) -> tuple[str, tuple[str, ...]]:
    """Split ``path[extra,...]`` into path and extras; no extras for another form (pip's ``utils/urls.strip_extras``)."""
    found = _EXTRAS.fullmatch(path)
    return (found[1], tuple(extra.strip() for extra in found[2].split(","))) if found else (path, ())


def group(path: str, name: str) -> Iterator[RequirementLine | UnreadSource]:
    """Yield the requirements of the dependency group *name* of the ``pyproject.toml`` at *path* (PEP 735).

    Yields one `UnreadSource` instead if only pip can read the file, or packaging is too old. Raises `UnreadableCallError` if
    the file or the group is missing or invalid.
    """
    document = _document(path)
    if isinstance(document, UnreadSource):
        yield document
        return
    try:
        from packaging.dependency_groups import DependencyGroupResolver
    except ImportError:
        yield UnreadSource(
            f"group {name} of {path}",
            f"pinstall reads dependency groups with packaging 26.1 or later; {_UPGRADE}",
        )
        return
    try:
        found = DependencyGroupResolver(document["dependency-groups"]).resolve(name)
    except Exception as error:  # each malformation has its own: ExceptionGroup, KeyError, AttributeError ...
        raise UnreadableCallError(f"group {name} of {path} cannot be read") from error
    yield from (RequirementLine(str(requirement), f"{path}, group {name}") for requirement in found)


def script(path: str) -> Iterator[RequirementLine | UnreadSource]:
    """Yield the requirements in the metadata of the script at *path* (PEP 723), or one `UnreadSource` if only pip can read it.

    Raises `UnreadableCallError` if the script cannot be read, or has no valid metadata.
    """
    import tomllib

    data = requirements_files.regular(path)
    if isinstance(data, UnreadSource):
        yield data
        return
    try:
        blocks = [
            match["content"] for match in _SCRIPT.finditer(io.StringIO(data.decode(), None).read()) if match["type"] == "script"
        ]
        (block,) = blocks
        document = tomllib.loads("".join(line[2:] if line.startswith("# ") else line[1:] for line in block.splitlines(True)))
    except (ValueError, RecursionError) as error:
        raise UnreadableCallError(f"{path} has no metadata of a script") from error
    yield from (RequirementLine(text, path) for text in _texts(document.get("dependencies")))


def dependencies(line: RequirementLine) -> Iterator[RequirementLine]:
    """Yield the dependencies of the project in the local folder that *line* names (PEP 621), with those of the extras named.

    Yields nothing if *line* has a marker or names no existing folder, or if its ``pyproject.toml`` is missing or cannot be
    read. Dynamic dependencies are left out, because only a build can determine them.
    """
    folder, extras = _folder(line)
    path = os.path.join(folder, "pyproject.toml")
    project = _table(folder, "project")
    dynamic = _texts(project.get("dynamic"))
    optional = project.get("optional-dependencies")
    stated = [] if "dependencies" in dynamic else _texts(project.get("dependencies"))
    if isinstance(optional, dict) and "optional-dependencies" not in dynamic:
        stated += _extras(str(project.get("name")), optional, extras)
    yield from (RequirementLine(text, requirements_files.shown(path), derived=True) for text in stated)


def build_requires(line: RequirementLine) -> Iterator[RequirementLine]:
    """Yield the build requirements of the project in the local folder that *line* names (PEP 518).

    Yields nothing in the cases of `dependencies`, and if the project states none.
    """
    folder, _ = _folder(line)
    shown = requirements_files.shown(os.path.join(folder, "pyproject.toml"))
    yield from (RequirementLine(text, shown) for text in _texts(_table(folder, "build-system").get("requires")))


def _table(folder: str, name: str) -> dict[str, Any]:
    """Return the table *name* of the ``pyproject.toml`` in *folder*; empty if it is missing or cannot be read."""
    path = os.path.join(folder, "pyproject.toml")
    try:
        document = _document(path) if folder and os.path.isfile(path) else {}
    except UnreadableCallError:
        return {}  # pip reports it
    table = document.get(name) if isinstance(document, dict) else None
    return table if isinstance(table, dict) else {}


def _extras(name: str, optional: dict[str, Any], extras: Iterable[str]) -> list[str]:
    """Return the requirements that *optional* (``optional-dependencies``) has for *extras* of project *name*.

    A requirement that names other extras of the same project is replaced by theirs.
    """
    from pinstall.model import requirement

    by_name = {normalized(extra): _texts(texts) for extra, texts in optional.items()}
    found: list[str] = []
    waiting, seen = [normalized(extra) for extra in extras], set()
    while waiting:
        extra = waiting.pop(0)
        for text in by_name.get(extra, ()) if extra not in seen else ():
            needed = requirement.parse(text)
            if needed and needed.project == normalized(name):
                waiting += sorted(needed.extras)
            elif needed:
                found.append(text)
        seen.add(extra)
    return found


def _folder(line: RequirementLine) -> tuple[str, tuple[str, ...]]:
    """Return the local folder that a requirement names, and its extras.

    Both are empty if the requirement names no existing folder, or has a marker.
    """
    text, marker = split_marker(line.text)
    named = reference(text)
    path, extras = named or without_extras(text)
    if path.lower().startswith("file:"):
        path = _path(path.partition("#")[0])
    elif named or not (line.editable or path.startswith(".") or os.sep in path or (os.altsep and os.altsep in path)):
        return "", ()
    # Only the environment could evaluate a marker here. Folders with markers are rare, so they are left out.
    return (path, tuple(extra.strip() for extra in extras)) if os.path.isdir(path) and not marker else ("", ())


def _path(url: str) -> str:
    """Return the path of a ``file:`` URL, as `links.to_path`; "" if the URL is invalid."""
    try:
        return links.to_path(url)
    except (OSError, ValueError):  # OSError: urllib's URLError
        return ""


def locked(lock: Lock, markers: Mapping[str, str], tags: Sequence[str] | None) -> Iterator[RequirementLine | UnreadSource]:
    """Yield the requirements that a lock file selects for an environment (``pylock.toml`` specification, "Installation").

    *markers* and *tags* (such as ``py3-none-any``, best first) are the environment's; an empty mapping and None mean those of
    the running Python. Yields one `UnreadSource` instead if only pip can read the file, or packaging is too old. Raises
    `UnreadableCallError` if the file cannot be read, or pip would refuse it.
    """
    document = _document(lock.path)
    if isinstance(document, UnreadSource):
        yield document
        return
    try:
        from packaging.pylock import Pylock
        from packaging.tags import Tag

        select = Pylock.select
    except (ImportError, AttributeError):
        yield UnreadSource(lock.path, f"pinstall reads lock files with packaging 26.3 or later; {_UPGRADE}")
        return

    def from_source(project: str) -> bool:
        return bool(lock.formats.refuses(project, is_wheel=True))

    made = None if tags is None else [Tag(*text.split("-", 2)) for text in tags if text.count("-") >= 2]
    try:
        parsed = Pylock.from_dict(document)
        groups = {*lock.groups, *((parsed.default_groups or ()) if lock.default else ())}
        options: dict[str, Any] = {"extras": lock.extras, "dependency_groups": groups, "environment": markers or None}
        chosen = list(select(parsed, tags=made, prefer_sdist_predicate=from_source, **options))
    except TypeError:
        yield UnreadSource(lock.path, f"pinstall reads lock files with packaging 26.3 or later; {_UPGRADE}")
        return
    except Exception as error:  # invalid content, selection or versions ...: pip reports it
        raise UnreadableCallError(f"{lock.path} cannot be used") from error
    for package, artifact in chosen:
        yield _locked_line(lock.path, package, artifact)


def _locked_line(path: str, package: Any, artifact: Any) -> RequirementLine:
    hashes = tuple(f"{name}:{value}" for name, value in (getattr(artifact, "hashes", None) or {}).items())
    place = f"{requirements_files.shown(path)}, {package.name}"
    if artifact is package.directory:
        return RequirementLine(os.path.join(os.path.dirname(path), artifact.path), place, editable=True)
    url = artifact.url if artifact.path is None else _beside(path, artifact.path)
    subdirectory = f"#subdirectory={found}" if (found := getattr(artifact, "subdirectory", "")) else ""
    if artifact is package.vcs:
        return RequirementLine(f"{package.name} @ {artifact.type}+{url}@{artifact.commit_id}{subdirectory}", place)
    if artifact is package.archive:
        return RequirementLine(f"{package.name} @ {url}{subdirectory}", place, hashes=hashes)
    version = package.version or _version(artifact.filename, package.name)
    return RequirementLine(f"{package.name}=={version}", place, hashes=hashes, locked=url)


def _version(filename: str, project: str) -> str:
    found = links.parse_filename(filename, project)
    return found.text if found else ""


def _beside(path: str, relative: str) -> str:
    folder = os.path.dirname(links.to_path(path) if requirements_files.is_url(path) else path)
    return links.from_path(os.path.join(folder, relative)).url


def _document(path: str) -> dict[str, Any] | UnreadSource:
    import tomllib

    data = requirements_files.regular(path)
    if isinstance(data, UnreadSource):
        return data
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableCallError(f"{path} cannot be read as TOML") from error


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
