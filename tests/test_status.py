"""After pip has succeeded, pinstall compares the environment with the pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packages import wheel
from tests.test_forward import stand_in

if TYPE_CHECKING:
    from tests.lab import Lab


def test_a_contradiction_has_a_status_of_its_own(lab: Lab) -> None:
    """The stand-in for pip reports success, and installs nothing."""
    index = lab.index()
    wheel(index.root, "demo", "2.0")
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "demo==2.0")
    stand_in(environment, "sys.exit(0)")
    (lab.root / "r.txt").write_text("# first\ndemo==1.0\n")
    done = lab.pinstall(environment, "-i", index.url, "-r", "r.txt")
    assert done.status == 90, done
    (line,) = [line for line in done.said if line.startswith("pip succeeded, but ")]
    assert "demo" in line
    assert "2.0" in line
    assert "r.txt, line 2" in line
    assert lab.pinstall(environment, "-i", index.url, "-r", "r.txt", "--dry-run").status == 0
    assert lab.pinstall(environment, "-i", index.url, "demo==2.0").status == 0


def test_a_constraint_on_an_uninvolved_project_is_not_a_contradiction(lab: Lab) -> None:
    index = lab.index()
    index.page_age = 0  # no page is used unasked
    for project in ("demo", "bystander"):
        wheel(index.root, project, "1.0")
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "bystander==1.0")
    (lab.root / "c.txt").write_text("bystander==7.0\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "-c", "c.txt")
    assert (done.status, done.said) == (0, [])


def test_a_distribution_from_another_file_produces_a_notice(lab: Lab) -> None:
    environment = lab.environment()
    one, two = (wheel(lab.root / name, "demo", "1.0", name) for name in ("one", "two"))
    lab.pip(environment, f"demo @ {one.as_uri()}")
    done = lab.pinstall(environment, f"demo @ {two.as_uri()}")
    assert done.status == 0
    assert environment.installed("demo") == "1.0 one", "pip takes it for the wanted one"
    assert [line for line in done.said if "demo" in line] != [], done
