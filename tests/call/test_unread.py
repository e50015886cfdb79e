"""Sources of requirements that only pip can read: pinstall does not read them, and lists them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError

if TYPE_CHECKING:
    from pathlib import Path

    from pinstall.invocation.invocation import Invocation

_PIP = (26, 3)


def _read(folder: Path, *arguments: str) -> Invocation:
    return invocation.read(arguments, {"PIP_CONFIG_FILE": os.devnull, "HOME": str(folder)}, str(folder), _PIP)


@pytest.mark.parametrize("option", ["-r", "-c"])
def test_a_pipe_is_left_unread_for_pip(tmp_path: Path, option: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"demo==1.0\n")
    os.close(writer)
    try:
        call = _read(tmp_path, option, f"/dev/fd/{reader}")
        assert os.read(reader, 100) == b"demo==1.0\n"
    finally:
        os.close(reader)
    assert [unread.source for unread in call.unread] == [f"/dev/fd/{reader}"]
    assert call.lines == ()


def test_a_fifo_without_a_writer_is_left_to_pip(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert [unread.source for unread in _read(tmp_path, "-r", str(tmp_path / "fifo")).unread] == [str(tmp_path / "fifo")]


@pytest.mark.parametrize("url", ["https://localhost:1/r.txt", "HTTP://localhost:1/r.txt"])
def test_a_requirements_file_at_a_url_is_left_to_pip(tmp_path: Path, url: str) -> None:
    assert [unread.source for unread in _read(tmp_path, "-r", url).unread] == [url]


def test_a_url_within_a_requirements_file_is_left_to_pip(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("demo==1.0\n-r https://localhost:1/more.txt\nother==2.0\n")
    call = _read(tmp_path, "-r", str(tmp_path / "r.txt"))
    assert [line.text for line in call.lines] == ["demo==1.0", "other==2.0"]
    assert [unread.source for unread in call.unread] == ["https://localhost:1/more.txt"]


def test_a_lock_file_at_a_url_is_left_to_pip(tmp_path: Path) -> None:
    call = invocation.unlocked(_read(tmp_path, "-r", "https://localhost:1/pylock.dev.toml"), {}, None)
    assert [unread.source for unread in call.unread] == ["https://localhost:1/pylock.dev.toml"]


@pytest.mark.parametrize(
    "arguments", [["--no-such-option"], ["-r", "no-such-file"], ["-r"], ["--no"], ["-r", "."]], ids=" ".join
)
def test_an_invalid_call_raises_and_a_folder_is_left_to_pip(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    if arguments == ["-r", "."]:
        assert [unread.source for unread in _read(tmp_path, *arguments).unread] == ["."]
    else:
        with pytest.raises(UnreadableCallError):
            _read(tmp_path, *arguments)


def test_places_name_files_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "r.txt").write_text("a==1\n-c sub/c.txt\n")
    (tmp_path / "sub" / "c.txt").write_text("\nb==1 \\\n\n")
    monkeypatch.chdir(tmp_path)
    call = _read(tmp_path, "c==1", "-r", "r.txt")
    assert [(line.text, line.place) for line in call.lines] == [
        ("c==1", "argument"),
        ("a==1", "r.txt, line 1"),
        ("b==1", "sub/c.txt, line 2"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_cache_of_another_user_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    assert _read(tmp_path, "--cache-dir", str(tmp_path / "theirs")).cache_dir is None
    assert _read(tmp_path, "--cache-dir", str(tmp_path / "theirs" / "below" / "it")).cache_dir is None
    assert _read(tmp_path, "--cache-dir", str(tmp_path / "ours")).cache_dir == str(tmp_path.resolve() / "ours")
