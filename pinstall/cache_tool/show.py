"""Word build records: ``pinstall-cache show``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.inspection import build_questions
from pinstall.pip_cache import entries
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.inspection.build_record import BuildRecord


def records(cache: str, wheels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the lines about all build records that the store in *cache* has for *wheels*: pairs of a wheel key and a file name.

    Pairs that *wheels* have twice count once.
    """
    for key, filename in sorted(set(wheels)):
        parent = store.builds_folder(cache, key)
        for folder in (os.path.join(parent, name) for name in entries.names(parent)):
            names = entries.names(folder)
            if filename not in names:
                continue  # a build of another version from the same URL
            for record in filter(store.is_record_name, names):
                found = store.load_record(folder, record)
                if found is not None:
                    yield from _lines(filename, found)


def _lines(filename: str, record: BuildRecord) -> Iterator[str]:
    yield f"{filename} ({record.wheel[:12]})"
    made, watched = record.conditions, record.watched
    way = "watched" if watched else "built by pip in a call of pinstall" if record.observed else "built by plain pip"
    if watched and not watched.whole:
        way += f", but {', '.join(watched.decides) or 'a part of it'} could not be"
    yield f"  {way}"
    if record.fetched:
        yield f"  by another machine; fetched from {record.fetched}"
    yield from (
        f"  compiled by {name}: {compiler}"
        for name, compiler in made.compilers.items()
        if compiler and not compiler.startswith(" with ")
    )
    yield from (f"  {name}: set" for name in made.variables)
    yield from (f"  built with {name} {version}" for name, version in made.build_dependencies.items())
    yield from (f"  needs {name}, found at {place}" for name, place in record.libraries.items())
    if made.cpu:
        yield f"  for processors with: {made.cpu}"
    if watched:
        yield from (f"  built with {name} {version}" for name, version in watched.requires.items() if version)
        yield from (f"  {build_questions.described(question)}" for question in watched.questions)
