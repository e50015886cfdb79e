"""Whatever stands in a page, a head, an origin or a record: it is read or left alone, and what is made of it can be used."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinstall.aftermath import causes
from pinstall.checks import dependencies, satisfied
from pinstall.environment import Environment
from pinstall.inspection import build_record, sdist_scan
from pinstall.inspection.build_record import BuildRecord, Conditions
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import RequirementLine
from pinstall.model import links, pins
from pinstall.model.links import Link
from pinstall.model.names import normalized
from pinstall.pip_cache import built_wheels, entries, http_entries, index_pages, keys, locator

if TYPE_CHECKING:
    from pathlib import Path

_URLS = st.sampled_from(
    [
        "https://host/demo-1.0.zip",
        "https://[::1/demo-1.0.zip",
        "https://host:port/demo-1.0.zip",
        "https://host/\ud800/demo-1.0.zip",
        "https://host/demo-1.0.zip?\udcff",
        "https://host/%zz/demo-1.0-py3-none-\udcff.whl",
        "file:///\x00/demo-1.0.zip",
        "demo-1." + "9" * 5_000 + ".zip",
        "git+https://[",
        "mailto:demo-1.0.zip",
    ]
)
_TEXTS = st.text(max_size=8) | _URLS
_NAMES = st.sampled_from(["url", "hashes", "core-metadata", "dist-info-metadata", "sha256", "files"]) | _TEXTS
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=10,
)
_FILE = st.fixed_dictionaries({"url": _TEXTS | _JSON}, optional={"hashes": _JSON, "core-metadata": _JSON})
_HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-length", "content-encoding"]),
    st.sampled_from(["9" * 5_000, "\u0663", "gzip", "text/html; charset=\x00", "text/html; charset=idna", index_pages.JSON])
    | _TEXTS,
)
_PAGE = "https://host/simple/demo/"


def _use(link: Link) -> None:
    """Do with a link all that is done with links."""
    assert isinstance(hash(link), int)
    assert isinstance(links.parse_filename(link.filename, "demo"), links.ParsedFilename | None)
    keys.wheel_key(link.url, link.digests[0] if link.digests else None, link.subdirectory, ("cp", "311"))
    locator.pypi_digest(link.url)
    if locator.is_http(link.url):
        keys.http_key(keys.request_url(link.url))
    elif not locator.is_vcs(link.url):
        assert isinstance(entries.stamp(links.to_path(link.url)), entries.FileStamp | None)


_SUPPORTING = Environment(sys.executable)


def _read(filename: str) -> None:
    """Do with a file name all that is done with those of pages and of the cache."""
    for project in ("demo", normalized(filename.partition("-")[0])):
        label = links.parse_filename(filename, project)
        if label is not None:
            assert isinstance(_SUPPORTING.supports(label.tags), bool)
            assert isinstance(label.ignored_by((26, 3)), bool)
    pins.collect([RequirementLine(f"https://host/{filename}", "argument")], {})


_PIECES = st.sampled_from(
    ["demo", "-", "-", "-", "-", ".", "_", "1.0", "py3", "py36+", "none", "any", "cp311", "\u00b2", "\ud800", " "]
)


@given(stem=st.lists(_PIECES, max_size=12).map("".join) | _TEXTS, ending=st.sampled_from([".whl", ".zip", ".tar.gz", ""]))
@settings(max_examples=500, deadline=None)
def test_any_file_name(stem: str, ending: str) -> None:
    _read(stem + ending)


_WORDS_OF_REQUIREMENTS = st.sampled_from(
    [
        *("demo", "[x]", "==", "1.0", "===", "~=", ">=", "<", "!=", ".*", ",", "; ", " ", "python_version", "extra", "extras"),
        *("'x'", '"3"', " in ", " not in ", " and ", "(", ")", "@ https://[", "platform_release", "1" * 5_000, "\ud800"),
        *("dependency_groups", "(" * 2_000, "python_version == '3' and " * 2_000),
    ]
)


@given(text=st.lists(_WORDS_OF_REQUIREMENTS, max_size=8).map("".join), start=st.sampled_from(["", "demo", "demo; "]))
@settings(max_examples=500, deadline=None)
def test_any_requirement_that_a_package_states(text: str, start: str) -> None:
    wanted = dependencies.need(start + text, "needed by demo", {})
    assert wanted is None or wanted.project
    pins.collect([RequirementLine(start + text, "argument")], {})
    assert isinstance(causes._fits(text, "3.11.4"), bool)


def _parse(body: bytes, headers: dict[str, str]) -> None:
    try:
        offers = index_pages.parse(body, headers, _PAGE)
    except (index_pages.DamagedPageError, index_pages.UnknownPageError):
        return
    for offer in offers:
        _read(offer.filename)
        _use(offer.link())


@given(files=st.lists(_FILE | _JSON, max_size=3) | _JSON, headers=_HEADERS)
@settings(max_examples=300, deadline=None)
def test_any_json_page(files: Any, headers: dict[str, str]) -> None:
    body = json.dumps({"files": files}).encode()
    _parse(body, {"content-type": index_pages.JSON})
    _parse(body, headers)


@given(base=_TEXTS, rows=st.lists(st.tuples(_TEXTS, st.sampled_from(["href", "data-core-metadata"]), _TEXTS), max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_html_page(base: str, rows: list[tuple[str, str, str]]) -> None:
    anchors = "".join(f"<a href='{url}' {name}='{value}'>x</a>" for url, name, value in rows)
    _parse(f"<base href='{base}'>{anchors}".encode(errors="surrogatepass"), {"content-type": "text/html"})


@given(body=st.binary(max_size=300), headers=_HEADERS)
@settings(max_examples=200, deadline=None)
def test_any_bytes_of_a_page(body: bytes, headers: dict[str, str]) -> None:
    _parse(body, headers)


def test_a_character_set_that_takes_time_with_the_square_is_not_decoded() -> None:
    with pytest.raises(index_pages.UnknownPageError, match="character set"):
        index_pages.parse(b"a-" + b"z" * 10_000_000, {"content-type": "text/html; charset=Punycode"}, _PAGE)


_DATES = ["Mon, 01 Jan 99999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT", "max-age=" + "9" * 5_000, "max-age=9", "garbage"]
_PACKED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 5), inner, max_size=3),
    max_leaves=6,
)
_HEAD = st.dictionaries(
    st.sampled_from(["date", "Date", "expires", "cache-control", "location"]), st.sampled_from(_DATES) | _PACKED, max_size=5
)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs in folders")
def test_a_head_that_is_a_fifo_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for a writer."""
    os.mkfifo(tmp_path / "head")
    assert http_entries.read_head(str(tmp_path / "head")) is None


@given(headers=_HEAD | _PACKED, status=_PACKED | st.sampled_from([200, 301]), body=_PACKED, tail=st.binary(max_size=30))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_head(tmp_path: Path, headers: Any, status: Any, body: Any, tail: bytes) -> None:
    response = {"headers": headers, "status": status, "body": body, "version": 11, "reason": "", "decode_content": False}
    whole = msgpack.packb({"response": response, "vary": {}})
    path = tmp_path / "head"
    for data in (whole, whole + tail, tail, whole[: len(whole) // 2] + tail):
        path.write_bytes(b"cc=4," + data)
        head = http_entries.read_head(str(path))
        if head is not None:
            head.response.fresh(http_entries.now())
            assert head.fault or head.response.status is not None


@pytest.mark.parametrize(
    "data",
    [
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff" * 1_000,
        b"\x81\xa8response\xdf\xff\xff\xff\xff",
        b"\x81\xa8response\x81\xa4body\xc6\xff\xff\xff\xff",
        b"\x91" * 1_000_000,
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xd6\xff\x00\x00\x00\x00",
    ],
)
def test_lengths_that_are_claimed_are_not_believed(tmp_path: Path, data: bytes) -> None:
    import tracemalloc

    path = tmp_path / "head"
    path.write_bytes(b"cc=4," + data)
    tracemalloc.start()
    try:
        head = http_entries.read_head(str(path))
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()
    assert head is None or head.fault


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999 00:00:00 GMT", "garbage", "Mon, 01 Xyz 2024 00:00:00 GMT"])
def test_a_date_on_which_pip_fails_is_a_fault(tmp_path: Path, date: str) -> None:
    response = {"headers": {"Date": date}, "status": 200, "body": b"", "version": 11, "reason": "", "decode_content": False}
    path = tmp_path / "head"
    path.write_bytes(b"cc=4," + msgpack.packb({"response": response, "vary": {}}))
    assert http_entries.read_head(str(path)) == http_entries.Head(
        http_entries.Response(0, {}), fault="its stored HTTP headers are invalid"
    )


_ORIGIN = st.fixed_dictionaries(
    {"url": _TEXTS | _JSON},
    optional={
        "subdirectory": _JSON,
        "archive_info": _JSON | st.fixed_dictionaries({"hashes": _JSON}),
        "vcs_info": _JSON | st.fixed_dictionaries({"vcs": _JSON, "commit_id": _JSON}),
    },
)


@given(document=_ORIGIN | _JSON)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_origin(tmp_path: Path, document: Any) -> None:
    (tmp_path / entries.ORIGIN).write_text(json.dumps(document))
    origin = built_wheels.read_origin(str(tmp_path))
    if origin is not None:
        _use(Link(origin.url, origin.digests, None, origin.subdirectory))


_RECORD = json.loads(
    json.dumps(
        build_record.to_json(
            BuildRecord("a" * 64, {"sha256": "b"}, sdist_scan.SourceScan(frozenset({"A"}), ("t",), ("r",), True, True))
        )
    )
)
_FIELDS = [(name, "") for name in _RECORD] + [(part, name) for part in ("says", "conditions") for name in _RECORD[part]]


@given(field=st.sampled_from(_FIELDS), value=_JSON | st.just(["glibc", "9" * 5_000]))
@settings(max_examples=300, deadline=None)
def test_any_record(field: tuple[str, str], value: Any) -> None:
    document = json.loads(json.dumps(_RECORD))
    part, name = field
    if name:
        document[part][name] = value
    else:
        document[part] = value
    record = build_record.from_json(document)
    if record is not None:
        build_record.difference(record.conditions, Conditions(libc=("glibc", "2.3")))
        sdist_scan.shaping(record.source_scan, "demo", {"A": "1"}, ())
        assert json.dumps(build_record.to_json(record))


# What stands in files that a call names; "{}" is where chance puts something.
_WRITTEN = {
    "r.txt": ["demo=={}", "-r {}", "-c {}", "--hash={}", "demo==1.0 --hash={}", "-i {}", "-e {}", "demo @ {}", "${A} {} \\"],
    "pip.conf": [
        "[global]",
        "[install]",
        "index-url = {}",
        "no-binary = {}",
        "constraint = {}",
        "{} = 1",
        "quiet = {}",
        "  {}",
    ],
    "pyproject.toml": [
        *("[dependency-groups]", "[project]", "name = {}", "dependencies = [{}]", "test = [{}, {{include-group = 'test'}}]"),
        *("dynamic = {}", "[project.optional-dependencies]", "x = [{}]"),
    ],
    "pylock.toml": [
        *("lock-version = '1.0'", "created-by = {}", "[[packages]]", "name = {}", "version = {}", "[packages.{}]", "path = {}"),
        *("url = {}", "hashes = {{sha256 = {}}}", "[[packages.wheels]]"),
    ],
    "s.py": ["# /// script", "# dependencies = [{}]", "# ///", "#{}"],
}
_WORDS = {
    "r.txt": ("-r", "r.txt"),
    "pip.conf": ("demo==1.0",),
    "pyproject.toml": ("--group", "test", ".[x]"),
    "pylock.toml": ("-r", "pylock.toml"),
    "s.py": ("--requirements-from-script", "s.py"),
}
_QUOTED = (
    _TEXTS | st.builds(json.dumps, _JSON) | st.sampled_from(["r.txt", "'demo==1.0'", "'demo'", ".", "{}", "1e400", "\ud800"])
)


_BARE = Environment("python")
_BARE.__dict__["_facts"] = {"path": []}


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(_WRITTEN)))
    lines = draw(st.lists(st.sampled_from(_WRITTEN[name]), max_size=8))
    text = "\n".join(line.replace("{}", draw(_QUOTED), 1).replace("{{", "{").replace("}}", "}") for line in lines)
    return name, draw(st.just(b"") | st.binary(max_size=4)) + text.encode(errors="surrogatepass")


@given(file=_files())
@example(file=("pyproject.toml", b"[dependency-groups]\ntest = []\n[project]\ndynamic = 5\n"))
@example(file=("pyproject.toml", b"[dependency-groups]\ntest = []\n[project]\ndynamic = true\ndependencies = 5\n"))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_that_a_call_names(tmp_path: Path, file: tuple[str, bytes]) -> None:
    name, content = file
    for other in _WRITTEN:
        (tmp_path / other).write_bytes(content if other == name else b"")
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path)}
    with contextlib.chdir(tmp_path):
        try:
            call = invocation.read(_WORDS[name], environ, str(tmp_path), (26, 3))
            call = invocation.unlocked(call, {}, None)
        except UnreadableCallError:
            return
        for pin in pins.collect(call.lines, {}).pins:
            assert pin.project
        assert isinstance(satisfied.is_satisfied(call, _BARE), bool)


@given(
    content=st.binary(max_size=80) | st.text(max_size=20).map(lambda text: f"Version: {text}\n".encode(errors="surrogatepass"))
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_metadata_of_what_is_installed(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "demo-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_bytes(content)
    environment = Environment("python")
    environment.__dict__["_facts"] = {"path": [str(tmp_path)]}
    found = environment.installed_version("demo")
    assert found is None or found.strip() == found != ""
    assert environment.versions() == {"demo": "1.0"}
