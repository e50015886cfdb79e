"""What pinstall says, in a line each: what was done to what: why; the pin, and where it stands. docs/messages.md has them all.

What the system says stands in brackets. Never a URL: it may hold a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall.model.verdict import Delete, Hide, Keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pinstall.checks.checker import Finding
    from pinstall.model.pins import Pin

    Say = Callable[[int, str], None]

# The verbosity (``-v`` less ``-q``) from which a line is said, as for pip's own.
NOTE, WARNING, ERROR = 0, -1, -2

KINDS = {"download": "download", "metadata": "metadata file", "built": "built wheel", "page": "page"}
FOREIGN = (
    "another program called pinstall is installed beside this one, and they overwrite each other's files: "
    "'pip uninstall pinstall pip-pinstall', and install pip-pinstall again"
)
INSTALL = "pip installs a project called install: what follows 'pip install' is all that pinstall takes"
_SHOWN = 4
_LONGEST_VALUE = 20


def changes(findings: Iterable[Finding], *, would: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for what was done, or *would* have been: a line for each eviction, one a pin for what came back."""
    back: dict[Pin, list[str]] = {}
    for finding in findings:
        if finding.stored and isinstance(finding.verdict, Keep):
            back.setdefault(finding.pin, []).append(finding.entry.filename)
        else:
            yield WARNING, _evicted(finding, would=would)
    for pin, filenames in back.items():
        yield NOTE, f"{'would bring back' if would else 'brought back'} {listed(filenames)} from the store; {pinned(pin)}"


def hidden(findings: Iterable[Finding], *, would: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for built wheels that pip is kept from and builds anew: those of unknown origin in one line."""
    unknown: list[Finding] = []
    act = "pip would build" if would else "pip builds"
    for finding in findings:
        if not isinstance(finding.verdict, Hide):
            continue
        if finding.verdict.reason == "unproven-build":
            unknown.append(finding)
        else:
            reason, detail = finding.verdict
            yield WARNING, f"{act} {finding.entry.filename} anew: {reason}, {detail}; {pinned(finding.pin)}"
    if unknown:
        names = listed(finding.entry.filename for finding in unknown)
        yield WARNING, f"{act} {names} anew: unproven-build, not known to be built from what is pinned"


def unseen(finding: Finding, why: str) -> str:
    """Say that pip does not see what could not be made to go."""
    said = f"{', '.join(finding.verdict)}; {why}" if isinstance(finding.verdict, Delete | Hide) else why
    return f"pip does not see {_what(finding)}: {said}; {pinned(finding.pin)}"


def _evicted(finding: Finding, *, would: bool) -> str:
    verdict, what = finding.verdict, _what(finding)
    match verdict:
        case Delete(reason, detail):
            place = "from the store" if finding.stored else "from the cache"
            act = f"{'would delete' if would else 'deleted'} {what} {place}: {reason}, {detail}"
        case Hide(reason, detail):
            act = f"{'would set aside' if would else 'set aside'} {what}: {reason}, {detail}"
        case _:
            raise AssertionError(verdict)
    return f"{act}; {pinned(finding.pin)}"


def _what(finding: Finding) -> str:
    entry = finding.entry
    return entry.filename if entry.kind == "page" else f"{entry.filename} ({KINDS[entry.kind]})"


LEFT_OUT = "the next call will ask the servers again for the index pages and redirects among them"
NO_DIFFERENCE = "the cache was not to blame: pip failed without those entries, too"


def again(doubtful: Iterable[str]) -> str:
    """Say that pip gets one more try."""
    return f"pip runs once more without {listed(doubtful)}: cached earlier, and perhaps out of date or damaged"


def not_again(why: str, doubtful: Iterable[str]) -> str:
    """Say that pip gets no other try, though the cache may be to blame."""
    return f"pip is not run again, though {listed(doubtful)} in its cache may be the reason: {why}"


def blamed(wrong: Iterable[tuple[str, str]]) -> str:
    """Say what was wrong in the cache (each entry's name, and the reason), after a second run that succeeded."""
    found = [f"{name} ({reason})" for name, reason in wrong]
    return (
        f"the cache was to blame, and is mended: {listed(found)}" if found else "pip succeeded this time; its cache was right"
    )


def refused(name: str, reason: str) -> str:
    """Say that a file which pip refuses does not stay in the cache."""
    return f"removed {name} from the cache: pip refuses it ({reason})"


def set_aside_versions(pin: Pin, filenames: Iterable[str], *, would: bool = False) -> str:
    """Say which entries of other versions were tidied away, or *would* have been."""
    return f"{'would set aside' if would else 'set aside'} {listed(filenames)}: other-version; {pinned(pin)}"


def misread(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each setting with an invalid value."""
    from pinstall.storage import store  # only calls that look into the cache come here

    if (value := environ.get("PINSTALL_POLICY", "")) not in ("", "evict", "report", "off"):
        yield _invalid("PINSTALL_POLICY", value, "evict, report or off", "report")
    if (value := environ.get("PINSTALL_STORE_SIZE", "")) and store.size(value) is None:
        yield _invalid("PINSTALL_STORE_SIZE", value, "e.g. 500M", "5G")
    yield from misread_timeout(environ)


def misread_timeout(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line if the setting for the lock has an invalid value."""
    from pinstall.storage import lock

    if (value := environ.get("PINSTALL_LOCK_TIMEOUT", "")) and lock.seconds(value) is None:
        yield _invalid("PINSTALL_LOCK_TIMEOUT", value, "seconds, e.g. 60", "30")


def _invalid(setting: str, value: str, expected: str, used: str) -> str:
    return f"ignoring invalid {setting}={shortened(value)!a} (expected {expected}); using {used}"


def shortened(value: str) -> str:
    """Return a *value* as far as it is worth to be shown."""
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def without_cache(reason: str) -> str:
    """Say that the cache could not be put right."""
    return f"pip runs without the cache: {reason}"


def not_checked(source: str, reason: str) -> str:
    """Say what was not read."""
    return f"not checked: {source} ({reason})"


def pinned(pin: Pin) -> str:
    """Name a pin and where it stands."""
    return f"{pin} ({listed(pin.places)})"


def listed(things: Iterable[str]) -> str:
    """Name the first few of *things*, each once."""
    all_things = list(dict.fromkeys(things))
    more = len(all_things) - _SHOWN
    return ", ".join(all_things[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
