"""Most lines that pinstall prints: the event and the file, the reason, and the place of the pin. docs/messages.md lists all.

A reason in words comes before its code, which stands in brackets, as does the error text of the operating system. No line
contains a URL with credentials or a query, because these may hold a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall.model.verdict import Delete, Hide, Keep, SetAside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pinstall.checks.checker import Finding
    from pinstall.model.pins import Pin
    from pinstall.settings import InvalidSetting

    Say = Callable[[int, str], None]

# The verbosity (``-v`` minus ``-q``) from which a line is printed, as for pip's own.
DETAIL, NOTE, WARNING, ERROR = 1, 0, -1, -2

KINDS = {"download": "download", "metadata": "metadata file", "built": "built wheel", "page": "page"}
FOREIGN = (
    "another distribution, named pinstall, is installed in the same environment and overwrites files of this program: "
    "run 'pip uninstall pinstall pip-pinstall', then install pip-pinstall again"
)
_SHOWN = 4
_LONGEST_VALUE = 20


def changes(findings: Iterable[Finding], *, would: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for the changes that *findings* made, or *would* have made.

    One line for each entry that was deleted or set aside, and one for all restored files. Raises `AssertionError` for others.
    """
    restored: list[Finding] = []
    for finding in findings:
        if finding.stored and isinstance(finding.verdict, Keep):
            restored.append(finding)
        else:
            yield WARNING, _evicted(finding, would=would)
    if restored:
        act = "with PINSTALL_POLICY=evict, pinstall would restore" if would else "restored"
        files, pins = listed(found.entry.filename for found in restored), listed(pinned(found.pin) for found in restored)
        them = "it" if len({found.entry.filename for found in restored}) == 1 else "them"
        yield NOTE, f"{act} {files} from pinstall's store to pip's cache: this install may need {them}; for {pins}"


def hidden(findings: Iterable[Finding], *, would: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for the *findings* with the verdict *hide*, whose entries pip does not see; skip others.

    Wheels of unknown origin (``unproven-build``) share one line for each detail. Only pip decides, later, whether it builds its
    own or takes a wheel that an index offers.
    """
    unknown: dict[str, list[str]] = {}
    act = "with PINSTALL_POLICY=evict, pinstall would ignore" if would else "ignoring"
    for finding in findings:
        if not isinstance(finding.verdict, Hide):
            continue
        if finding.verdict.reason == "stale-page":
            asks = "with PINSTALL_POLICY=evict, pip would ask the server again for"
            asks = asks if would else "pip asks the server again for"
            yield NOTE, f"{asks} {_what(finding)}: {_why(finding.verdict)}; for {pinned(finding.pin)}"
        elif finding.verdict.reason == "unproven-build":
            unknown.setdefault(finding.verdict.detail, []).append(finding.entry.filename)
        else:
            yield WARNING, f"{act} {finding.entry.filename} in pip's cache: {_why(finding.verdict)}; for {pinned(finding.pin)}"
    for detail, filenames in unknown.items():
        yield WARNING, f"{act} {listed(filenames)} in pip's cache: {detail} (unproven-build)"


def unseen(finding: Finding, why: str, *, would: bool = False) -> str:
    """Return the line that pip does not see an entry, or *would* not; *why* is the reason why it was left, or not checked."""
    verdict = finding.verdict
    reason = f"{_why(verdict)}, but {why}" if isinstance(verdict, Delete | Hide | SetAside) else why
    act = "with PINSTALL_POLICY=evict, pinstall would hide" if would else "hiding"
    return f"{act} {_what(finding)} from pip for this run: {reason}; for {pinned(finding.pin)}"


def used(finding: Finding, why: str) -> str:
    """Return the line that pip may use a built wheel that it should not; *why* states the reason why it could not be moved."""
    verdict = finding.verdict
    reason = f"{_why(verdict)}, but {why}" if isinstance(verdict, Delete | Hide) else why
    return f"pip may use {_what(finding)}: {reason}; for {pinned(finding.pin)}"


def _evicted(finding: Finding, *, would: bool) -> str:
    verdict, what = finding.verdict, _what(finding)
    match verdict:
        case Delete():
            place = "from pinstall's store" if finding.stored else "from pip's cache"
            act = "with PINSTALL_POLICY=evict, pinstall would remove" if would else "removed"
            act += f" {what} {place}: {_why(verdict)}"
        case SetAside():
            act = "with PINSTALL_POLICY=evict, pinstall would move" if would else "moved"
            act += (
                f" {what} from pip's cache to pinstall's store: {_why(verdict)}; pinstall moves it back when its hash is pinned"
            )
        case _:
            raise AssertionError(verdict)
    return f"{act}; for {pinned(finding.pin)}"


def _why(verdict: Delete | Hide | SetAside) -> str:
    return f"{verdict.detail} ({verdict.reason})"


def _what(finding: Finding) -> str:
    entry = finding.entry
    if entry.kind == "page":
        return f"the {entry.filename}"
    return f"{entry.filename} (built wheel)" if entry.kind == "built" else entry.filename


FAILED_AGAIN = (
    "pip failed again without the cached files that were in doubt, so the cache is probably not to blame: see pip's messages"
)


def again(doubtful: Iterable[str]) -> str:
    """Return the line that pip runs once more, without the *doubtful* files."""
    return f"pip runs once more without cached files that may be outdated or damaged: {listed(doubtful)}"


def not_again(why: str, doubtful: Iterable[str], *, silent: bool = False) -> str:
    """Return the line that pip does not run again because of *why*, though the *doubtful* files may be to blame.

    It advises to repeat the command: with --no-cache-dir, or if servers are *silent*, when they answer.
    """
    advice = "repeat the command when all servers answer" if silent else "to find out, repeat the command with --no-cache-dir"
    files = f"these cached files may be outdated or damaged: {listed(doubtful)}"
    return f"pip failed and does not run again: {why}; {files}; {advice}"


def invalidated(wrong: Iterable[tuple[str, str]]) -> str:
    """Return the line that the *wrong* index pages and redirects (name and reason of each) will be fetched again."""
    names = listed(name for name, _ in wrong)
    return f"the next install asks the servers again for cached pages or redirects that may be outdated: {names}"


def blamed(wrong: Iterable[tuple[str, str]]) -> str:
    """Return the line that lists the *wrong* entries (name and reason of each), after a second run that succeeded.

    Without any, the line says that the first failure may have had another cause.
    """
    found = [f"{name} ({reason})" for name, reason in wrong]
    if not found:
        why = "the first run may have failed for another reason, such as the network"
        return f"pip succeeded in the second run, but the servers sent the same files as those in the cache: {why}"
    return f"the cache was to blame, and is repaired now: {listed(found)}"


def refused(name: str, reason: str) -> str:
    """Return the line that a bad file was removed from the cache after a failure."""
    return f"removed {name} from pip's cache: {reason}; repeat the command, and pip downloads or builds it again"


def not_repaired(root: str, reason: str) -> str:
    """Return the line that bad files may stay in the cache *root* after a failure, because of *reason*."""
    return f"pip's cache {root} could not be repaired ({reason}): the next install may fail on the same cached files"


def set_aside_versions(moved: Mapping[Pin, Sequence[str]], *, would: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for the files of other versions, by pin, that were set aside or *would* have been.

    One line for all, and one for each file that only ``-v`` shows.
    """
    act = "with PINSTALL_POLICY=evict, pinstall would set aside" if would else "set aside"
    for pin, names in moved.items():
        why = f"another version is pinned (other-version); for {pinned(pin)}"
        yield from ((DETAIL, f"{act} {name} from pip's cache: {why}") for name in names)
    files = [name for names in moved.values() for name in names]
    if files:
        why = "other versions of these projects are pinned (other-version); PINSTALL_KEEP_VERSIONS=1 prevents this"
        yield NOTE, f"{act} {listed(files)} from pip's cache in pinstall's store until needed: {why}"


def ignored_setting(setting: InvalidSetting) -> str:
    """Return the line that a setting has an invalid value, and which value is used instead."""
    name, value, expected, used = setting
    return f"ignoring invalid {name}={shortened(value)!a} (expected {expected}); using {used}"


def shortened(value: str) -> str:
    """Return *value*, or its first 20 characters and three dots if it is longer."""
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def not_a_folder(path: str) -> str:
    """Return the line that pip runs without its cache, because another file is at its *path*."""
    return f"pip's cache folder {path} is not a folder: running pip with --no-cache-dir; move that file away"


def no_view(error: OSError) -> str:
    """Return the sentence that pinstall cannot make the view of a call because of *error*."""
    return f"pinstall could not make a folder with links to the usable files of pip's cache ({error.strerror})"


def without_cache(reason: str) -> str:
    """Return the line that pip runs without its cache."""
    return f"{reason}: running pip with --no-cache-dir"


def install_not_checked(reason: str) -> str:
    """Return the line that no pin of the call was checked."""
    return f"this install was not checked: {reason}"


def pins_not_checked(source: str, reason: str) -> str:
    """Return the line that the pins in a file, group or URL (without secrets) were not checked."""
    return f"pins in {source} were not checked: {reason}"


def unknown_parts(parts: str, version: str) -> str:
    """Return the line that *parts* of pip's cache, found there after pip *version* ran, are unknown to pinstall."""
    return (
        f"parts of pip's cache were not checked ({parts}): pip {version} is newer than this pinstall, and seems to use its "
        "cache in a new way; upgrade pinstall"
    )


def pinned(pin: Pin) -> str:
    """Return the text of *pin* and, in brackets, the places that state it."""
    return f"{pin} ({listed(pin.places)})"


def listed(names: Iterable[str]) -> str:
    """Join the first four distinct *names* by commas, and count the rest; "" without names."""
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - _SHOWN
    return ", ".join(distinct[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
