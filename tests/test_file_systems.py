"""The cache on other file systems, which are mounted where nobody else sees them, if the kernel has them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.lab import Lab

pytestmark = pytest.mark.slow
_DISK = "truncate -s 400m {disk} && mkfs.{kind} -q {disk} && mount -o loop {disk} {place}"
_MOUNTS = {
    "tmpfs": "mount -t tmpfs tmpfs {place}",
    "overlay": "mount -t tmpfs tmpfs {over} && mkdir {over}/up {over}/work && "
    "mount -t overlay -o lowerdir={cache},upperdir={over}/up,workdir={over}/work overlay {place}",
    **{kind: _DISK.replace("{kind}", kind) for kind in ("ext4", "ext4 -O casefold", "ext3 -I 128", "xfs", "btrfs")},
    "vfat": _DISK.replace("{kind} -q", "vfat"),
    "exfat": "truncate -s 400m {disk} && mkfs.exfat {disk} && loop=$(losetup -f --show {disk}) && "
    "mount.exfat-fuse $loop {place} && losetup -d $loop",
}


_WANTED = os.environ.get("PINSTALL_TEST_MOUNTS", "overlay")


@pytest.mark.parametrize("kind", list(_MOUNTS) if _WANTED == "all" else _WANTED.split(","))
def test_bad_entries_are_replaced_and_builds_are_kept(lab: Lab, kind: str) -> None:
    """A damaged download, and a build with other flags, which needs a view; in the second round everything is in the cache."""
    index = lab.compiled_index()
    wheel(index.root, "other", "1.0")
    lab.pip(lab.environment(), "demo==1.0", "other==1.0")
    flip(next(path for path in lab.bodies() if path.read_bytes()[:2] == b"PK"))
    place, over = lab.root / "place", lab.root / "over"
    place.mkdir()
    over.mkdir()
    mount = _MOUNTS[kind].format(place=place, over=over, cache=lab.cache, disk=lab.root / "disk")
    fill = "true" if kind == "overlay" else f"cp -r {lab.cache}/. {place}/"
    environment = lab.environment()
    call = f"{environment.pinstall} --force-reinstall demo==1.0 other==1.0"
    flags = """-UCONTENT -DCONTENT='"flags"'"""
    done = lab.mounted(mount, f"{fill} && {call} && echo again >&2 && {call}", PIP_CACHE_DIR=str(place), CFLAGS=flags)
    assert done.status == 0, done
    assert (environment.installed("demo"), environment.installed("other")) == ("1.0 flags", "1.0 1.0")
    assert [word for word in ("wrong-hash", "other-build") if word not in done.err] == []
    assert done.err.partition("again\n")[2] == ""
    assert (lab.root / "built").read_text().count("\n") == 2, "bare pip's, and the first call's"
