"""A build may call pinstall, or delete the cache that pip uses: both end as they do with plain pip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from tests.lab import Lab

_CALL = "import os, subprocess; subprocess.check_call([os.environ['tool'], '-t', os.environ['there'], 'dep==1.0'])"
_DELETE = "import os, shutil; shutil.rmtree(os.environ['gone'], ignore_errors=True)"


def test_a_build_may_call_pinstall(lab: Lab) -> None:
    index, environment = lab.index(), lab.environment()
    wheel(index.root, "dep", "1.0")
    sdist(index.root, "demo", "1.0", "good", script=_CALL)
    variables = {"tool": environment.pinstall, "there": str(lab.root / "there"), "PIP_INDEX_URL": index.url, "CFLAGS": "-O1"}
    done = lab.pinstall(environment, "--no-build-isolation", "demo==1.0", **variables)
    assert (done.status, environment.installed("demo")) == (0, "1.0 good"), done
    assert (lab.root / "there" / "dep.py").exists()


@pytest.mark.parametrize("gone", ["", "pinstall"])
def test_a_build_may_delete_the_cache(lab: Lab, gone: str) -> None:
    index, environment = lab.index(), lab.environment()
    wheel(index.root, "dep", "1.0", "good")
    sdist(index.root, "demo", "1.0", "good", script=_DELETE)
    words = ("-i", index.url, "demo==1.0", "dep==1.0")
    done = lab.pinstall(environment, *words, CFLAGS="-O1", gone=str(lab.cache / gone))
    assert (done.status, environment.installed("demo"), environment.installed("dep")) == (0, "1.0 good", "1.0 good"), done
