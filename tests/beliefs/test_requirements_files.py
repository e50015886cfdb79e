"""pinstall reads requirements and constraints files as pip does: lines, their numbers, hashes, and effects of option lines."""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.beliefs.calls import SETTINGS, Sandbox, compare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.beliefs.conftest import Judge

_HASH = "--hash=sha256:" + "a" * 64
_CONTENTS: dict[str, str] = {
    "plain": "a==1\nb>=2,<3\nc[x,y]~=1.0 ; python_version >= '3'\n",
    "no newline at the end": "a==1",
    "empty": "",
    "comments": "# a\na==1 # b\nb==1# no comment\n  # c\nc==1\t# d\n#\n\n",
    "continued": "a==1 \\\n  --hash=sha256:aa \\\n  --hash=sha384:bb\nb\n",
    "continued by a comment": "a==1 \\\n# comment\nb==1\n",
    "continued by an indented comment": "a==1 \\\n    # comment \\\nb==1\n",
    "continued to the end": "a==1 \\",
    "continued to an empty line": "a==1 \\\n\nb==1\n",
    "comment continued": "# a \\\nb==1\n",
    "two backslashes": "a==1 \\\\\n--hash=sha256:aa\n",
    "backslash and space": "a==1 \\ \nb==1\n",
    "backslash alone": "\\\na==1\n\\\n",
    "hashes": f"a==1 {_HASH} {_HASH}\nb==1 --hash sha512:cc --hash=sha256:DD\n",
    "hash alone": f"{_HASH}\n",
    "hash of a weak kind": "a==1 --hash=md5:aa\n",
    "hash of no kind": "a==1 --hash=aa\n",
    "hash before": f"{_HASH} a==1\n",
    "options": "-i https://a/simple\n--extra-index-url=https://b\n--extra-index-url https://c\na\n--pre\n--prefer-binary\n",
    "several options in a line": "-i https://a --extra-index-url https://b -f links --pre\na\n",
    "index twice": "-i https://a\n-i https://b\n--extra-index-url https://c\n-i https://d\n",
    "index in the middle of a requirement": "a==1 -i https://x\n",
    "no index": "--no-index\n-i https://a\n--extra-index-url https://b\n-f here\n",
    "no index late": "-i https://a\n-f here\n--no-index\n-f there\n",
    "find-links": "-f here -f there\n--find-links=sub\n-f sub/\n-f ~\n-f https://h/\n",
    "trusted": "--trusted-host h\na\n--require-hashes\n--use-feature=truststore\n",
    "no hashes": "--no-require-hashes\na\n",
    "hashes, or no hashes": "--no-require-hashes\na\n-r sub/more.txt\n--require-hashes\n",
    "nested": "a\n-r sub/more.txt\nb\n-c sub/limits.txt\n--requirement=sub/more.txt\nc\n",
    "nested and missing": "a\n-r nowhere.txt\n",
    "nested twice in a line": "-r sub/more.txt -r sub/limits.txt\n",
    "nested, both kinds in a line": "-c sub/limits.txt -r sub/more.txt\n",
    "nested with options": "-r sub/more.txt -i https://a\n",
    "requirement before nested": "a -r sub/more.txt\n",
    "nested file URL": "-r file://FOLDER/sub/more.txt\n",
    "editable": "-e .\n-e ./x[y]\n--editable=git+https://h/r@x#egg=y\n-e a -e b\n",
    "editable with options": f"-e . {_HASH}\n-e . --config-settings a=b\n-e . -r sub/more.txt\n",
    "config settings": "a --config-settings k=v\nb --config-settings=x\n",
    "global options": "a --global-option=x\nb --install-option=y\n",
    "options of the command line alone": "a --no-deps\n",
    "unknown option": "a --no-such\n",
    "abbreviation": "--extra https://b\n--no-ind\n",
    "ambiguous abbreviation": "--no\n",
    "variables": "a==${VERSION}\n-i https://${USER_1}:${PASSWORD}@h/${NO_SUCH}/${lower}/$VERSION\n${EMPTY}b\n${HASHED}\n",
    "variable of options": "${OPTIONS}\na ${OPTIONS}\n",
    "windows line ends": "a==1\r\nb==1 \\\r\n  --hash=sha256:aa\r\n\r\n# c\r\n",
    "old line ends": "a==1\rb==1\r",
    "unicode line ends": "a==1\u2028b==1\x0bc==1\x0cd==1\x1ce==1\x85f==1\n",
    "unicode spaces": "a\u00a0==1\n\u3000b\nc\u00a0# d\n",
    "markers": "a ; python_version < '3' and extra == 'x-y'\nb;sys_platform=='-x'\nc ; os_name == 'a -b'\n",
    "quotes": "a --hash='sha256:aa' \"--hash=sha256:bb\"\n-f 'with space'\n",
    "quotes not closed": "a --hash='sha256:aa\n",
    "apostrophe in a requirement": "a ; os_name == 'x'\nit's\n",
    "tabs": "a==1\t--hash=sha256:aa\n\tb\t\n-i\thttps://a\n",
    "dash in the requirement": "a -b\na- b\n./-x\n",
    "dash alone": "-\n",
    "two dashes": "a -- b\n--\n",
    "short joined": "-rsub/more.txt\n-csub/limits.txt\n-ihttps://a\n-fhere\n-e.\n",
    "URLs": "https://h/a-1.zip#sha256=aa\na @ https://h/a.zip # b\nfile:///x/y.whl\n./x.whl\ngit+ssh://g@h/r@v#egg=x&subdirectory=y\n",
    "nul": "a\x00b\n",
    "formats": "--no-binary=:all:\n--only-binary a,b --no-binary b\na==1\n--only-binary :none:,C_d\n",
    "formats beside requirements": "a==1 --only-binary :all:\n-e . --no-binary a\n-r sub/formats.txt --no-binary b\nc\n",
    "formats without a value": "--no-binary -x\na\n",
    "pre": "--pre\na\n--all-releases=b\n--only-final=c\n",
}
_VARIABLES = {
    "VERSION": "1.0",
    "USER_1": "me",
    "PASSWORD": "p ${VERSION}",
    "EMPTY": "",
    "HASHED": "x # y",
    "OPTIONS": "--hash=sha256:aa -i https://o",
    "lower": "no",
}


def _since(judges: list[Judge], year: int) -> list[Judge]:
    return [judge for judge in judges if judge.version >= (year,)]


def _furnish(sandbox: Sandbox) -> None:
    sandbox.write("sub/more.txt", "more==1\n-c limits.txt\n-f here\n--extra-index-url https://more\n")
    sandbox.write("sub/limits.txt", "limited==2\n")
    sandbox.write("sub/formats.txt", "d --only-binary b,d\n--no-binary d\n")
    sandbox.write("sub/circle.txt", "-r ../reqs.txt\n")
    sandbox.write("sub/here", "")


@pytest.mark.parametrize("option", ["-r", "-c"])
@pytest.mark.parametrize("content", _CONTENTS.values(), ids=_CONTENTS)
def test_contents_of_requirements_files(judges: list[Judge], sandbox: Sandbox, content: str, option: str) -> None:
    _furnish(sandbox)
    path = sandbox.write("reqs.txt", content.replace("FOLDER", sandbox.folder))
    for name in (path, "reqs.txt", "../folder/./reqs.txt"):
        compare(judges, sandbox, ["z", option, name, "--extra-index-url", "https://first"], _VARIABLES)


def test_a_requirement_followed_by_an_editable(judges: list[Judge], sandbox: Sandbox) -> None:
    """pip reads it as an editable one, with its own text; pip before 25 takes it for the ordinary requirement."""
    sandbox.write("reqs.txt", "c -e d\n")
    compare(_since(judges, 25), sandbox, ["-r", "reqs.txt"])


@pytest.mark.parametrize("content", ["a\n-r reqs.txt\n", "a\n-r sub/circle.txt\n", "-c ../folder/reqs.txt\n"])
def test_files_that_include_themselves(judges: list[Judge], sandbox: Sandbox, content: str) -> None:
    """pip before 24 repeats the file until Python raises RecursionError."""
    _furnish(sandbox)
    sandbox.write("reqs.txt", content)
    compare(_since(judges, 24), sandbox, ["-r", "reqs.txt"])


def test_constraints_come_first_in_any_order_of_arguments(judges: list[Judge], sandbox: Sandbox) -> None:
    _furnish(sandbox)
    sandbox.write("reqs.txt", "-i https://r\na\n")
    sandbox.write("limits.txt", "-i https://c\nb\n")
    compare(judges, sandbox, ["-r", "reqs.txt", "-e", "x", "z", "-c", "limits.txt", "-f", "f", "-r", "sub/more.txt"])


@pytest.mark.parametrize("scheme", ["file://", "file:", "FILE://"])
def test_file_urls(judges: list[Judge], sandbox: Sandbox, scheme: str) -> None:
    path = sandbox.write("re qs.txt", "a==1\n")
    compare(judges, sandbox, ["z", "-r", scheme + path.replace(" ", "%20")])


_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def _knowing(judges: list[Judge], content: bytes) -> list[Judge]:
    """Return the judges that can decode *content*: only pip 25 and later distinguish UTF-32 from UTF-16."""
    return _since(judges, 25) if content.startswith(codecs.BOM_UTF32_LE) else judges


@pytest.mark.parametrize("encoding", _BOMS)
def test_byte_order_marks(judges: list[Judge], sandbox: Sandbox, encoding: str) -> None:
    judges = _knowing(judges, _BOMS[encoding])
    sandbox.write("reqs.txt", _BOMS[encoding] + "caf\u00e9==1\nb==1\n".encode(encoding))
    compare(judges, sandbox, ["-r", "reqs.txt"])


@pytest.mark.parametrize(
    "content",
    [
        "# -*- coding: latin-1 -*-\ncaf\u00e9==1\n".encode("latin-1"),
        "#\n# coding=cp1252\ncaf\u00e9==1\n".encode("latin-1"),
        b"#\n#\n# coding=utf-16\ncaf\xc3\xa9==1\n",
        b" # coding=utf-16\ncaf\xc3\xa9==1\n",
        b"a # coding=utf-16\n",
        b"# coding: no-such\na\n",
        b"# coding: ascii\ncaf\xc3\xa9\n",
        "caf\u00e9==1\n".encode("latin-1"),
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf# coding: latin-1\ncaf\xc3\xa9\n",
    ],
)
def test_encodings(judges: list[Judge], sandbox: Sandbox, content: bytes) -> None:
    sandbox.write("reqs.txt", content)
    compare(judges, sandbox, ["-r", "reqs.txt"])


_PIECES = st.sampled_from(
    [
        *("a==1", "b", "c[x]>=1", "d @ https://h/d.zip", "./e.whl", "-e .", "-e", "f;os_name=='x'"),
        *("-r sub/more.txt", "-c sub/limits.txt", "-r", "-i https://a", "-i", "--extra-index-url=https://b", "--no-index"),
        *(
            "-f here",
            "-f there",
            "--pre",
            "--hash=sha256:aa",
            "--hash sha384:bb",
            "--hash",
            "--require-hashes",
            "--no-require-hashes",
            "--no-binary=x",
        ),
        *("${VERSION}", "${OPTIONS}", "${NO_SUCH}", "${EMPTY}", "'", '"', "\\", "#", " #", "--", "-", "=", "x"),
        *("--config-settings a=b", "--trusted-host=h", "--extra", "\u00e9"),
    ]
)
_SPACES = st.sampled_from(["", " ", "  ", "\t", "\u00a0"])
_ENDS = st.sampled_from(
    ["\n", "\n", "\n", "\r\n", "\r", " \\\n", "\\\n", "\\\r\n", " \\ \n", " # x\n", "# x\n", "\u2028", "\x0c", "\n#\n"]
)
_LINES = st.lists(
    st.tuples(
        _SPACES, st.lists(_PIECES, max_size=3).flatmap(lambda p: st.tuples(*[st.tuples(st.just(x), _SPACES) for x in p])), _ENDS
    ),
    max_size=6,
).map(lambda lines: "".join(start + "".join(a + b for a, b in pieces) + end for start, pieces, end in lines))


_BRACKETED_HOST = re.compile(r"--trusted-host=\S*[][]")


@given(content=_LINES, more=_LINES, option=st.sampled_from(["-r", "-c"]))
@SETTINGS
def test_arbitrary_lines(judges: list[Judge], scratch: Path, content: str, more: str, option: str) -> None:
    assume(not _BRACKETED_HOST.search(content + more))  # pip itself crashes on it
    sandbox = Sandbox(scratch / "files")
    _furnish(sandbox)
    sandbox.write("reqs.txt", content)
    sandbox.write("sub/limits.txt", more)
    editable = "-e" in content + more  # see test_a_requirement_followed_by_an_editable
    compare(_since(judges, 25) if editable else judges, sandbox, ["z", option, "reqs.txt"], _VARIABLES)


@given(content=st.binary(max_size=60), start=st.sampled_from([b"", b"# coding: ", *_BOMS.values()]))
@SETTINGS
def test_arbitrary_bytes(judges: list[Judge], scratch: Path, content: bytes, start: bytes) -> None:
    sandbox = Sandbox(scratch / "files")
    sandbox.write("reqs.txt", start + content)
    compare(_knowing(judges, start + content), sandbox, ["z", "-r", os.path.join(sandbox.folder, "reqs.txt")])
