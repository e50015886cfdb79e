"""The runner of build steps: run one step of a build as pip would, and note its questions, which the build record keeps.

pip's process starts it in place of each build step, and of each other pip, whose build steps it then watches (`watch_steps`),
from a copy outside of the packages. It imports the standard library only, and its syntax is that of Python 3.7: it runs in
whichever Python builds. Whatever fails in it, the step runs. Each note is appended to a file at once, so that forks and steps
that end abruptly lose none. A note has no values of variables, no output of programs, and no argument that may be a secret,
only the names and paths in the questions, what programs were asked for, the asking files, and the digests of the wheels.
"""

from __future__ import annotations

import os
import re
import sys
from _thread import get_ident
from contextlib import suppress

TYPE_CHECKING = False  # the module typing would take as long as all else here
if TYPE_CHECKING:
    from typing import Any

_CODE = sys._getframe().f_code  # noqa: SLF001 (of this file: other processes need not compile it)
_TEMPORARY = "/tmp"  # noqa: S108 (where others make their folders)
_MOST_NOTES = 2000
_MOST_FOLDERS = 3000
_LARGEST_FILE = 4 << 20
# Interpreter options without a value, as pip passes them.
_OPTIONS = ("-u", "-I", "-E", "-s", "-S", "-P", "-B")
_WRITES = os.O_WRONLY | os.O_RDWR
_NATIVE = re.compile(r"(?:-m(?:arch|cpu|tune)|target-cpu|CUDA_ARCHITECTURES(?::\w+)?)[= ]native|-xHost\b")
# Modules of the standard library that ask in the name of their caller. Others ask for themselves, as tempfile does.
_BEARERS = frozenset(
    """
    _collections_abc _pyio abc ast asyncio bz2 codecs collections concurrent configparser contextlib copy csv ctypes dbm
    filecmp fileinput fnmatch functools genericpath glob gzip hashlib importlib io itertools json linecache lzma ntpath operator
    os pathlib pickle pkgutil plistlib posixpath queue re runpy shelve shlex shutil string subprocess tarfile threading tokenize
    tomllib types typing xml zipfile
    """.split()  # noqa: SIM905 (a list would take a page)
)
# Programs whose own files decide what is built: the names of variables in the text of the source count, too.
_DECIDERS = re.compile(
    r"(?:cmake|meson|ninja|g?make|cargo|rustc|maturin|bazel|scons|waf|qmake|go|zig|node|npm|configure|.*\.sh)\d*"
)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_NAME = re.compile(r"[A-Za-z_]\w*")
# Programs that print what is in the files and folders that they name, or whether these are there.
_READERS = frozenset("[ awk cat cmp cut diff find grep head ls readlink sed sort stat tail test wc".split())  # noqa: SIM905
# Programs that print variables.
_TELLERS = ("printenv", "env", "set", "export")
_LONGEST_QUOTATION = 50  # lines of a shell command
_OFTEN = 50  # questions about one name, after which it is no news
# Arguments that make a program print facts, and nothing else. Others are not noted: one may be a secret.
READ_ONLY = (
    r"--?(?:version|help|libs(?:-only-[Ll])?|static-libs|cflags|cxxflags|cppflags|ldflags|ldlibs|includes?|(?:pkg)?includedir"
    r"(?:-server)?|(?:pkg)?libdir|bindir|prefix|exec-prefix|modversion|vernum|features|protocols|ssl-backends|variables?|configure"
    r"|all|api-version|show(?:me)?|showme:\w+|compile_info|link_info|print-search-dirs|dumpmachine)|-V|-v"
)
# Programs that are also asked about packages, and the name of one, as the first word of an argument.
PKG_CONFIG = ("pkg-config", "pkgconf")
PACKAGE = r"[A-Za-z_][\w.+-]*"
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")
_PYTHON = re.compile(r"(?:python|pypy|pythonw)[\d.]*")


class Watch:
    """Notes the questions of a build step in the file *path*; *folder* is that of its source, *cache* that of pip's cache."""

    def __init__(self, path: str, folder: str, cache: str) -> None:
        self.path = path
        self.source = (os.path.join(folder, ""), os.path.join(os.path.realpath(folder), ""))
        self.library = os.path.dirname(os.__file__)
        self.seen: set[Any] = set()
        self.named: dict[str, str | None] = {}  # what `_named` says of each file
        self.own: set[str] = set()  # variables that the step itself has set
        self.made: set[str] = set()  # files and folders that the step itself has made
        self.order: list[Any] = []
        self.caller_code: Any = None  # where the last `asker` asks
        self.set = frozenset(os.environ)
        self.asked_at: dict[str, set[str]] = {}
        self.busy: set[int] = set()
        self.times: dict[Any, int] = {}
        self.decides = False
        self.argv = sys.argv[3:]
        self.overlays = [path for path in sys.path if "pip-build-env-" in path]
        self.searched = (os.environ.get("PATH") or "").split(os.pathsep)
        self.inside = self.source + self._own_folders(cache)

    def _own_folders(self, cache: str) -> tuple[str, ...]:
        """Return the beginnings of paths that no record may hold: the interpreter's folders, caches, ``/proc`` and the like.

        Also sets ``temporary``, a pattern of the paths in temporary folders of pip and of others.
        """
        home = os.path.expanduser("~")
        found = [self.library, cache, "/proc", "/dev", "/sys", os.path.join(home, ".cache"), os.environ.get("XDG_CACHE_HOME")]
        found += [sys.prefix, sys.exec_prefix, *sys.path]
        found += [
            os.path.dirname(word) for word in sys.argv[2:3] if os.path.isabs(word)
        ]  # a pip that serves another environment
        if sys.base_prefix.count("/") > 2:  # /usr and /usr/local have the libraries of the system, too
            found.append(sys.base_prefix)
        folders = {
            os.path.join(place, "") for path in found if path and path != home for place in (path, os.path.realpath(path))
        }
        places = (os.environ.get("TMPDIR") or _TEMPORARY, _TEMPORARY)
        temporary = {place for path in places for place in (path, os.path.realpath(path))}
        self.temporary = re.compile("(?:{})/(?:pip-|tmp)".format("|".join(map(re.escape, temporary))))
        return tuple(folders - {"/", "/usr/"})

    def note(self, *words: Any) -> None:
        """Append a note to the file, unless this process has done so before. After `_MOST_NOTES`, notes ``cut`` and no more.

        The file is not kept open: a build may close descriptors.
        """
        if words in self.seen or len(self.seen) > _MOST_NOTES:
            return
        self.seen.add(words)
        if len(self.seen) > _MOST_NOTES:
            words = ("cut",)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            os.write(descriptor, (ascii(words) + "\n").encode())
        finally:
            os.close(descriptor)

    def is_old(self, question: Any) -> bool:
        """Count a *question*; return whether it was asked more than `_OFTEN` times, so that another time tells nothing.

        Finding out who asks is slow.
        """
        self.times[question] = times = self.times.get(question, 0) + 1
        return times > _OFTEN

    def guarded(self, act: Any, *args: Any) -> Any:
        """Return the result of *act*, which is called with *args*; None if it fails.

        Within another guarded act of this thread, calls nothing and returns None: its questions are the runner's own.
        """
        thread = get_ident()
        if thread in self.busy:
            return None
        self.busy.add(thread)
        try:
            return act(*args)
        except Exception:  # noqa: BLE001 (the build goes on)
            return None
        finally:
            self.busy.discard(thread)

    def asker(self) -> str:
        """Return the file that asks: its path below the source; ``.`` for code without a file; else ``@`` and its package.

        "" if the question does not count, because the standard library or pip's script of the step asks for itself. Sets
        ``caller_code``.
        """
        frame: Any = sys._getframe(1)  # noqa: SLF001
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self.named:
                self.named[name] = None if name == _CODE.co_filename else self._named(name)
            found = self.named[name]
            if found is not None:
                self.caller_code = frame.f_code, frame.f_lasti  # the number of the line would take long
                return found
            frame = frame.f_back
        return "."  # a thread of the build

    def _named(self, name: str) -> str | None:  # noqa: PLR0911
        """Return how `asker` names the file *name* (``co_filename``); None if it asks in the name of its caller."""
        if name.startswith("<frozen "):
            module = name[8:-1].partition(".")[0]
            return None if module in _BEARERS else ""
        if name.startswith("<"):
            return "."  # code without a file, as setup.py is for setuptools
        if not os.path.isabs(name):
            return name
        for folder in self.source:
            if name.startswith(folder):
                return name[len(folder) :]
        if name.endswith("_in_process.py"):
            return ""
        if name.startswith(self.library) and "-packages" not in name:
            module = os.path.splitext(name[len(self.library) + 1 :])[0].replace("\\", "/").split("/")[0]
            return None if module in _BEARERS else "@distutils" if module == "distutils" else ""
        for folder in sys.path:
            if folder and name.startswith(os.path.join(folder, "")):
                parts = name[len(folder) :].strip("/").split("/")
                return "@" + os.path.splitext(parts[0])[0]
        return "@" + os.path.basename(name)

    # What the audit hook sees.

    def see_open(self, path: Any, _mode: Any, flags: Any) -> None:
        """Note that a file is read, there or not; remember a file that is written.

        Of METADATA in a ``.dist-info`` folder, notes the ``distribution``, and only if the source reads it.
        """
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return
        if isinstance(flags, int) and flags & _WRITES:
            self.made.add(os.path.abspath(path))
        elif ".dist-info" in path and path.endswith("METADATA"):
            by = self.asker()
            if by and not by.startswith("@"):
                self.note("distribution", os.path.basename(os.path.dirname(path)), by)
        else:
            self.see_path("file", path)

    def see_path(self, kind: str, path: Any) -> None:
        """Note a question about a path, unless the path is the build's own or the interpreter's, or was asked for often.

        Folders above those are not noted either. *kind* is ``file``, ``place``, ``link``, ``listing`` or ``glob``; in a folder
        of ``PATH``, the note is ``looks`` instead, except for a ``link``.
        """
        path = self._outside(path)
        if not path or self.is_old((kind, path)) or self.temporary.match(path) or self._is_made(path):
            return
        if any(folder.startswith(os.path.join(path, "")) for folder in self.inside):
            return  # a folder above one of them
        by = self.asker()
        if not by or (kind == "listing" and by.startswith("@")):
            return
        if os.path.dirname(path) in self.searched and kind != "link":  # a search along PATH
            self.note("looks", os.path.basename(path), by)
        else:
            self.note(kind, path, by)

    def see_asked(self, function: str, path: Any) -> None:
        """Note that a *function* of the module os asks something about a path."""
        path = self._outside(path)
        if path:
            caller = sys._getframe(3)  # noqa: SLF001 (that of `_Path`, which called `guarded`)
            self.see_path("file" if caller.f_code.co_name == "getsize" else _ASKING[function], path)

    def _outside(self, path: Any) -> str:
        """Return *path*, made absolute; "" if it is the build's own or the interpreter's, as most are, or cannot be a path."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            path = os.fspath(path) if hasattr(path, "__fspath__") else ""
        if path.startswith("/"):
            if path.startswith(self.inside) and ".." not in path:
                return ""
        elif not path or not (path.startswith("..") or self._is_elsewhere()):
            return ""
        path = os.path.abspath(path)
        return "" if os.path.join(path, "").startswith(self.inside) else path

    def _is_elsewhere(self) -> bool:
        """Return whether the current folder of the step is outside of its source."""
        return not os.path.join(os.getcwd(), "").startswith(self.source)

    def _is_made(self, path: str) -> bool:
        while path not in self.made:
            path, last = os.path.dirname(path), path
            if path == last:
                return False
        return True

    def see_made(self, path: Any, *_: Any) -> None:
        """Remember a path that the step makes, also by a rename or link: questions about it, or below it, are not noted."""
        if isinstance(path, (str, bytes)):
            self.made.add(os.path.abspath(os.fsdecode(path)))

    def see_listing(self, path: Any) -> None:
        """Note that a file of the source, or code without a file, lists a folder."""
        self.see_path("listing", path)

    def see_glob(self, pattern: Any, *_: Any) -> None:
        """Note that a pattern of paths is expanded."""
        self.see_path("glob", pattern)

    def see_path_glob(self, folder: Any, pattern: Any) -> None:
        """Note that ``Path.glob`` expands *pattern* in *folder*. Its listing of *folder* is another event (`see_listing`)."""
        self.see_glob(os.path.join(folder, pattern))

    def see_name(self, kind: str, name: str) -> None:
        """Note a question of this *kind* about a *name*, such as that of a library."""
        by = self.asker()
        if by:
            self.note(kind, name, by)

    def see_import(self, module: str, *_: Any) -> None:
        """Note that the source, or code without a file, imports a module, by its top-level name, there or not.

        Modules of the standard library are not noted, except by a Python before 3.10.
        """
        name = module.partition(".")[0]
        if name in getattr(sys, "stdlib_module_names", ()) or self.is_old(("module", name)):
            return
        by = self.asker()
        if by and not by.startswith("@"):
            self.note("module", name, by)

    def see_library(self, name: Any) -> None:
        """Note that a shared library is loaded, there or not."""
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        if isinstance(name, str) and name:
            if "/" in name:
                self.see_path("file", name)
            else:
                self.see_name("library", name)

    def see_popen(self, _executable: Any, args: Any, _cwd: Any, env: Any) -> None:
        """Note the command of a process."""
        self.see_command([args] if isinstance(args, (str, bytes)) else list(args), env)

    def see_exec(self, path: Any, args: Any, env: Any) -> None:
        """Note the program that replaces this process, or is started beside it."""
        self.see_command([path, *list(args)[1:]], env)

    def see_system(self, command: Any) -> None:
        """Note the command that a shell runs."""
        self.see_command(["sh", "-c", command], None)

    def see_command(self, argv: Any, env: Any) -> None:
        """Note the program that a command runs; of a command for ``sh -c``, each program and variable in it.

        Also notes ``native`` if its arguments ask for code for the processor of this machine. If ``find_library`` runs it,
        notes only the library that it looks for.
        """
        by = self.asker()
        finder = _finder()
        if finder:
            self.see_name("linked", finder)
            return
        words = [os.fsdecode(word) for word in argv]
        if _NATIVE.search(" ".join(words)):
            self.note("native", by)
        name = os.path.basename(words[0])
        if name in _SHELLS and len(words) > 2 and words[1] == "-c":
            for variable in _VARIABLE.findall(words[2]) if by else ():
                self.note("variable", variable, by)
            for command in _commands(words[2]):
                self.see_program(command, by, env)
        else:
            self.see_program(words, by, env)

    def see_program(self, words: list[str], by: str, env: Any) -> None:
        """Note the program that the command *words* runs, and its arguments as `_fact` returns them.

        Of a program whose files decide what is built (a script, CMake, one of the source), notes only the name. Also notes the
        files and variables that the program prints. *by* is the `asker`. *env* are the variables that the program gets; None
        for those of this process.
        """
        name = os.path.basename(words[0])
        if name in _SHELLS:
            name = os.path.basename(words[1]) if len(words) > 1 else name
            self.decides = True
            self.note("decides", name, by)
            return
        place = self._place(words[0], env)
        for word in words[1:] if name in _READERS else ():
            self.see_read(word)
        for variable in words[1:] if name in _TELLERS and by else ():
            if _NAME.fullmatch(variable):
                self.note("variable", variable, by)
        if name in _TELLERS and len(words) == 1:
            self.note("all", by)
        if _PYTHON.fullmatch(name) or place == sys.executable or _DECIDERS.fullmatch(name) or self._is_own(place):
            self.decides = True
            self.note("decides", name, by)
        elif by:
            asked = [_fact(word, name) for word in words[1:]] if len(words) < 12 else ["..."]
            is_found = os.path.dirname(place) in self.searched and self._place(name, None) == place
            self.note("program", name if is_found else words[0], by, tuple(asked))

    def see_read(self, path: str) -> None:
        """Note the folder, or the file with an absolute path, that an argument of a program names, as shells expand it."""
        path = os.path.expandvars(os.path.expanduser(path))
        if os.path.isdir(path):
            self.see_path("listing", path)
        elif os.path.isabs(path):
            self.see_path("file", path)

    def _is_own(self, place: str) -> bool:
        """Return whether the program at *place* comes with the source or with a build requirement."""
        return bool(place) and (place.startswith(self.source) or "pip-build-env-" in place or bool(self.temporary.match(place)))

    def _place(self, name: str, env: Any) -> str:
        if "/" in name:
            return os.path.abspath(name)
        path = (env or os.environ).get("PATH") or os.defpath if not isinstance(env, (list, tuple)) else os.defpath
        return next((p for d in os.fsdecode(path).split(os.pathsep) for p in [os.path.join(d, name)] if _runs(p)), "")

    def see_rmtree(self, path: Any, *_: Any) -> None:
        """Note the findings of other build systems (`glean`), if one has run, before their files are removed."""
        if self.decides and isinstance(path, (str, bytes)):
            self.glean(os.fsdecode(path))

    # What other build systems leave.

    def glean(self, folder: str) -> None:
        """Note the findings of CMake, meson and cargo, as files in the first `_MOST_FOLDERS` below *folder* state them."""
        for count, (here, folders, files) in enumerate(os.walk(folder)):
            if count > _MOST_FOLDERS:
                return
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                is_cargos = name == "output" and os.path.basename(os.path.dirname(here)) == "build"
                is_rustcs = name.endswith(".d") and os.path.basename(here) == "deps"
                if is_cargos or is_rustcs or name in _LEFT:
                    with suppress(OSError):
                        self.note_findings(os.path.join(here, name))

    def note_findings(self, path: str) -> None:
        """Note the paths, variables and flags in a file of another build system, if it has at most `_LARGEST_FILE` bytes."""
        if os.path.getsize(path) > _LARGEST_FILE:
            return
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if _NATIVE.search(text):
            self.note("native", os.path.basename(path))
        for name in re.findall(r"^(?:cargo::?rerun-if-env-changed=|# env-dep:)(\w+)", text, re.MULTILINE):
            if not _OF_CARGO.match(name):
                self.note("variable", name, "@cargo")
        for place in re.findall(r"^cargo::?rerun-if-changed=(/.+)", text, re.MULTILINE):
            self.left_path("file", place, "@cargo")
        for place in re.findall(r"^\w+:(?:FILEPATH|PATH)=(/.+)", text, re.MULTILINE):
            self.left_path("place", place, "@cmake")
        if os.path.basename(path) == "intro-dependencies.json":
            for place in re.findall(r'"(/[^"]+\.so[^"/]*)"', text):
                self.left_path("place", place, "@meson")

    def left_path(self, kind: str, path: str, by: str) -> None:
        """Note a path that a file of another build system (*by*) states, unless it lies in a folder that no record may hold.

        *kind* is ``file`` or ``place``. Leaves out places that are executable, that is programs and folders, unless the name
        contains ``.so``.
        """
        own = os.path.join(path, "").startswith(self.inside) or self.temporary.match(path)
        name = os.path.basename(path)
        if not own and (kind == "file" or ".so" in name or not os.access(path, os.X_OK)):
            self.note(kind, path, by)

    # The mapping os.environ.

    def see_variable(self, key: Any, all_keys: Any = None) -> None:
        """Note that the variable *key* is asked for, unless the step has set it; with *all_keys*, that the whole mapping is."""
        if all_keys is None and self.order and self.order[-1] == key:
            self.order.pop()  # "dict(os.environ)" and "os.environ.items()" take each value after its name
            return
        if all_keys is None and not self.order and self.is_old(key):
            return
        by = self.asker()
        if not by:
            return
        name = os.fsdecode(key)
        if all_keys is not None:
            self.order = list(all_keys)[::-1]
            self.note("all", by)
        elif name not in self.own:
            self.order = []
            self.note_variable(name, by)

    def note_variable(self, name: str, by: str) -> None:
        """Note a question about a variable; if it was set when the step began, also the place in the code that asks.

        Notes a ``loop`` if that place has asked for most of the variables that were set.
        """
        if name not in self.set or self.caller_code is None:
            self.note("variable", name, by)
            return
        code, at = self.caller_code
        place = f"{code.co_filename}:{code.co_firstlineno}:{at}"
        self.note("variable", name, by, place)
        names = self.asked_at.setdefault(place, set())
        names.add(name)
        if len(names) > max(5, 0.75 * len(self.set)):
            self.note("loop", place)

    def see_all(self) -> None:
        """Note that all of a copy of ``os.environ`` is asked for, unless a module that starts processes does it."""
        frame: Any = sys._getframe(3)  # noqa: SLF001 (this function, `guarded`, the method of the copy, its caller)
        if os.path.basename(frame.f_code.co_filename) not in ("subprocess.py", "os.py"):
            by = self.asker()
            if by:
                self.note("all", by)

    def see_which(self, name: Any, path: Any) -> None:
        """Note that a program is looked for, on ``PATH`` or on another *path*."""
        by = self.asker()
        if not by or not isinstance(name, (str, bytes)) or _finder():
            return
        if path is None:
            self.note("looks", os.fsdecode(name), by)
        else:
            for folder in os.fsdecode(path).split(os.pathsep):
                self.see_path("place", os.path.join(folder, os.fsdecode(name)))

    def end(self) -> None:
        """Note the results of the step: its wheels with their digests, the distributions of its build environment, findings.

        Also notes whether there was an isolated environment, and whether processes may have run that were not watched.
        """
        if self.decides:
            self.glean(self.source[0])
        overlays = [path for path in self.overlays if os.path.isdir(path)]
        for name in sorted({name for path in overlays for name in os.listdir(path) if name.endswith(".dist-info")}):
            self.note("requirement", name)
        if any("pip-build-env-" in path for path in [sys.prefix, *sys.path]):
            self.note("isolated")
        if "multiprocessing.popen_spawn_posix" in sys.modules or "multiprocessing.popen_forkserver" in sys.modules:
            self.note("decides", "a pool of processes", "")
        for path in _wheels(self.argv):
            self.note("wheel", os.path.basename(path), _sha256(path))


# Variables that cargo sets for each crate.
_OF_CARGO = re.compile(r"CARGO_(?:PKG|MANIFEST|BIN|CRATE|PRIMARY)|OUT_DIR$")
# What CMake and meson write about their findings.
_LEFT = ("CMakeCache.txt", "intro-buildoptions.json", "intro-compilers.json", "intro-dependencies.json")
_EVENTS = {
    "open": Watch.see_open,
    "import": Watch.see_import,
    "os.listdir": Watch.see_listing,
    "os.scandir": Watch.see_listing,
    "os.mkdir": Watch.see_made,
    "os.rename": lambda watch, _source, target, *_: watch.see_made(target),
    "os.symlink": lambda watch, _source, target, *_: watch.see_made(target),
    "os.link": lambda watch, _source, target, *_: watch.see_made(target),
    "glob.glob": Watch.see_glob,
    "pathlib.Path.glob": Watch.see_path_glob,
    "ctypes.dlopen": Watch.see_library,
    "subprocess.Popen": Watch.see_popen,
    "os.exec": Watch.see_exec,
    "os.posix_spawn": Watch.see_exec,
    "os.spawn": lambda watch, _mode, path, args, env: watch.see_exec(path, args, env),
    "os.system": Watch.see_system,
    "shutil.rmtree": Watch.see_rmtree,
}


def _hook(watch: Watch) -> Any:
    """Return the audit hook of *watch*: a function, because a bound method takes Python ten times as long to call."""
    find, guarded = _EVENTS.get, watch.guarded

    def see(event: str, args: Any) -> None:
        act = find(event)
        if act is not None:
            guarded(act, watch, *args)

    return see


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _finder() -> str:
    """Return the name that ``ctypes.util.find_library`` looks for, if it starts the process; else ""."""
    frame: Any = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if frame.f_code.co_name == "find_library" and frame.f_code.co_filename.endswith("util.py"):
            return str(frame.f_locals.get("name") or "")
        frame = frame.f_back
    return ""


def _fact(word: str, program: str) -> str:
    """Return the argument *word* of a *program* if it only asks for facts; else three dots.

    Of an argument of pkg-config that begins with a package's name, returns the name.
    """
    package = re.match(PACKAGE, word.split(" ", maxsplit=1)[0]) if program.endswith(PKG_CONFIG) else None
    return word if re.fullmatch(READ_ONLY, word) else package[0] if package else "..."


def _commands(text: str) -> list[list[str]]:
    """Return the words of each simple command in the text of a shell command, without assignments before the program.

    Leaves out a line with a quotation that the next lines do not close, as in a here-document.
    """
    found: list[list[str]] = []
    lines = text.replace("\\\n", "").split("\n")
    while lines:
        end = 1
        for last in range(1, min(len(lines), _LONGEST_QUOTATION) + 1):
            try:
                found += _commands_of_line("\n".join(lines[:last]))
            except ValueError:
                continue
            end = last
            break
        del lines[:end]
    return found


def _commands_of_line(text: str) -> list[list[str]]:
    """Return the words as `_commands`. Raises `ValueError` if a quotation is open at the end, as shlex sees it."""
    import shlex

    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word and not word.strip("();<>|&"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"\w+=.*|[$`].*|if|then|else|fi|do|done|!|exec|\{|\}", word):
            found[-1].append(word.strip("`"))
    return [words for words in found if words]


def _wheels(argv: list[str]) -> list[str]:
    """Return the paths of the wheels that a step has built; empty if it builds none. *argv* are the arguments of its script.

    Raises `OSError`, `ValueError` or `KeyError` if the step failed.
    """
    import json

    if len(argv) > 1 and argv[0] == "build_wheel":
        files = [os.path.join(argv[1], name) for name in ("input.json", "output.json")]
        asked, made = (json.loads(_read(path)) for path in files)
        name = made["return_val"]
        return [os.path.join(asked["kwargs"]["wheel_directory"], name)] if name else []
    if "bdist_wheel" in argv and "-d" in argv:
        folder = argv[argv.index("-d") + 1]
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".whl")]
    return []


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _sha256(path: str) -> str:
    import hashlib

    found = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()


def _watched(kind: Any, watch: Watch) -> Any:
    """Return the class of a dict that notes which of its keys are asked for; it replaces the one inside ``os.environ``."""

    class Asked(dict):  # type: ignore[type-arg]
        __slots__ = ()

        def __getitem__(self, key: Any) -> Any:
            watch.guarded(watch.see_variable, key)
            return kind.__getitem__(self, key)

        def __iter__(self) -> Any:
            watch.guarded(watch.see_variable, "", kind.keys(self))
            return kind.__iter__(self)

        def __setitem__(self, key: Any, value: Any) -> None:
            watch.own.add(os.fsdecode(key))
            kind.__setitem__(self, key, value)

        def __reduce__(self) -> Any:
            return dict, (list(kind.items(self)),)

    return Asked


def _copied(watch: Watch) -> Any:  # noqa: C901 (each method asks)
    """Return the class of ``os.environ.copy()``: a dict that notes which of its keys are asked for."""

    class Copy(dict):  # type: ignore[type-arg]
        __slots__ = ()

        def __getitem__(self, key: Any) -> Any:
            watch.guarded(watch.see_variable, key)
            return dict.__getitem__(self, key)

        def __contains__(self, key: Any) -> bool:
            watch.guarded(watch.see_variable, key)
            return dict.__contains__(self, key)

        def get(self, key: Any, default: Any = None) -> Any:
            watch.guarded(watch.see_variable, key)
            return dict.get(self, key, default)

        def pop(self, key: Any, *default: Any) -> Any:
            watch.guarded(watch.see_variable, key)
            return dict.pop(self, key, *default)

        def setdefault(self, key: Any, default: Any = None) -> Any:
            watch.guarded(watch.see_variable, key)
            return dict.setdefault(self, key, default)

        # To take all at once asks for each: "dict(copy)" and "{**copy}" go through keys(), and a process takes items().

        def __iter__(self) -> Any:
            watch.guarded(watch.see_all)
            return dict.__iter__(self)

        def keys(self) -> Any:
            watch.guarded(watch.see_all)
            return dict.keys(self)

        def values(self) -> Any:
            watch.guarded(watch.see_all)
            return dict.values(self)

        def items(self) -> Any:
            watch.guarded(watch.see_all)
            return dict.items(self)

        def __or__(self, other: Any) -> Any:
            watch.guarded(watch.see_all)
            return {**dict(dict.items(self)), **other}

        def __ror__(self, other: Any) -> Any:
            watch.guarded(watch.see_all)
            return {**other, **dict(dict.items(self))}

        def copy(self) -> Any:
            return Copy(dict.items(self))

        def __reduce__(self) -> Any:
            return dict, (list(dict.items(self)),)

    return Copy


def _watch_environ(watch: Watch) -> None:
    asked, copied = _watched(dict, watch), _copied(watch)
    environ: Any = os.environ
    data = asked(environ._data)  # noqa: SLF001 (os.environ itself stays, and so do the errors that it raises)
    for mapping in (environ, getattr(os, "environb", environ)):
        mapping._data = data  # noqa: SLF001
    kind: Any = type(os.environ)
    plain = kind.copy

    def copy(self: Any) -> Any:
        watch.busy.add(get_ident())
        try:
            found = plain(self)
        finally:
            watch.busy.discard(get_ident())
        return copied(found) if self is os.environ else found

    kind.copy = copy


# What each function of the module os asks about a path: whether it is there, or where a link leads.
_ASKING = {"stat": "place", "lstat": "place", "access": "place", "readlink": "link"}


class _Path:
    """A function of the module os that asks something about a path; see `_ASKING`.

    It has no ``__get__``: Python 3.8's pathlib keeps such functions in a class. It equals the function that it stands for,
    because ``os.supports_fd`` and the like are asked for functions.
    """

    def __init__(self, act: Any, watch: Watch) -> None:
        self.act, self.watch = act, watch
        for name in ("__name__", "__qualname__", "__module__", "__doc__", "__text_signature__"):
            setattr(self, name, getattr(act, name, None))

    def __call__(self, *args: Any, **named: Any) -> Any:
        if args and type(args[0]) is not int and not named.get("dir_fd"):
            self.watch.guarded(self.watch.see_asked, self.act.__name__, args[0])
        return self.act(*args, **named)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.act

    def __hash__(self) -> int:
        return hash(self.act)

    def __repr__(self) -> str:
        return repr(self.act)

    def __reduce__(self) -> Any:
        return getattr, (os, self.act.__name__)


def _watch_paths(watch: Watch) -> None:
    import shutil

    sought = shutil.which

    def which(cmd: Any, mode: int = os.F_OK | os.X_OK, path: Any = None) -> Any:
        watch.guarded(watch.see_which, cmd, path)
        thread = get_ident()
        was_busy = thread in watch.busy
        watch.busy.add(thread)
        try:
            return sought(cmd, mode, path)
        finally:
            if not was_busy:
                watch.busy.discard(thread)

    which.__doc__, which.__module__, which.__qualname__ = sought.__doc__, sought.__module__, sought.__qualname__
    shutil.which = which
    for name in _ASKING:
        setattr(os, name, _Path(getattr(os, name), watch))


def watch_steps(folder: str, program: str) -> None:
    """From now on, have this pip start each build step, and each other pip, under the runner, whose text is *program*.

    The runner is copied to *folder* when the first one begins: as text, and compiled for steps in the Python of this process.
    *folder* also takes the notes. Replaces the constructor of `subprocess.Popen`.
    """
    import importlib.util  # noqa: F401 (newer pips let nothing be imported later)
    import subprocess

    begin: Any = subprocess.Popen.__init__

    def __init__(self: Any, args: Any, *more: Any, **named: Any) -> None:  # noqa: N807
        with suppress(Exception):  # the step runs unwatched
            args = under_watch(args, folder, program)
        begin(self, args, *more, **named)

    subprocess.Popen.__init__ = __init__  # type: ignore[method-assign]


def under_watch(args: Any, folder: str, program: str) -> Any:
    """Return the command *args*; if it runs a build step or another pip, with the runner and its mode before the script.

    Copies the runner to *folder*, if it is not there yet. Raises `OSError`.
    """
    if not isinstance(args, (list, tuple)) or len(args) < 3:
        return args
    at = 1
    while at < len(args) - 1 and args[at] in _OPTIONS:
        at += 1
    script = os.path.basename(str(args[at]))
    if script == "__pip-runner__.py":
        mode = "pip"
    elif script == "_in_process.py" or (script == "-c" and "setup.py" in str(args[at + 1])):
        mode = "step"
    else:
        return args
    # A pip's witness (`pinstall.pip_child`) reads the script.
    is_compiled = mode == "step" and args[0] == sys.executable and sys.implementation.name == "cpython"
    return [*args[:at], _runner(folder, program, is_compiled=is_compiled), mode, *args[at:]]


def _runner(folder: str, program: str, *, is_compiled: bool) -> str:
    """Return the path of the copy of this file in *folder*: *program*, or compiled for the Python of this process.

    Makes it, and *folder*, if they are not there yet. Raises `OSError`.
    """
    import marshal
    from importlib.util import MAGIC_NUMBER

    text = os.path.join(folder, "run.py")
    if not os.path.isfile(text):
        parent = os.path.dirname(folder)
        if not os.path.isdir(parent):  # with the mode of pinstall's folder, which a group may share
            os.mkdir(parent)
            os.chmod(parent, os.stat(os.path.dirname(parent)).st_mode & 0o7777)
        os.makedirs(folder, exist_ok=True)
        _write(text, program.encode())
    if not is_compiled:
        return text
    compiled = os.path.join(folder, f"run-{MAGIC_NUMBER[:2].hex()}.pyc")
    if not os.path.isfile(compiled):
        _write(compiled, MAGIC_NUMBER + bytes(12) + marshal.dumps(_CODE))
    return compiled


def _write(path: str, data: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.replace(path + ".new", path)


def _begin(mode: str, folder: str) -> Watch | None:
    """Begin to watch this process, and return the watch; None if only its child processes are watched (*mode* ``pip``).

    None also if this Python cannot be watched. *folder* has the copies of the runner, and takes the notes.
    """
    if mode == "pip":
        watch_steps(folder, _read(os.path.join(folder, "run.py")))
        return None
    if not hasattr(sys, "addaudithook") or not hasattr(os.environ, "_data"):
        return None
    cache = os.path.dirname(os.path.dirname(os.path.dirname(folder)))
    watch = Watch(os.path.join(folder, f"{os.getpid()}-{os.urandom(4).hex()}.notes"), os.getcwd(), cache)
    watch.note("step", 1, os.getcwd(), os.path.expanduser("~"))
    _watch_paths(watch)
    _watch_environ(watch)
    sys.addaudithook(_hook(watch))
    return watch


def _show(kind: Any, error: Any, trace: Any) -> None:
    """Show a traceback without the frames of this file, as if the script ran by itself."""
    while trace is not None and trace.tb_frame.f_code.co_filename == _CODE.co_filename:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _code(script: str, rest: list[str]) -> tuple[Any, dict[str, Any]]:
    """Make `sys.argv`, `sys.path` and the main module as without the runner; return the code of the script and its globals.

    *rest* are the arguments after the *script*; for ``-c``, the text of the program is the first of them.
    """
    import importlib.machinery
    import types

    main = types.ModuleType("__main__")
    space = main.__dict__
    space["__builtins__"] = sys.modules["builtins"]
    space.setdefault("__annotations__", {})
    own = os.path.dirname(os.path.abspath(__file__))
    has_own = bool(sys.path) and sys.path[0] == own
    if script == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        first, text, name = "", rest[0], "<string>"
        space["__loader__"] = importlib.machinery.BuiltinImporter
    else:
        sys.argv[:] = [script, *rest]
        first, name = os.path.dirname(os.path.realpath(script)), script
        with open(script, "rb") as file:
            text = file.read()  # type: ignore[assignment]
        space.update(__file__=script, __cached__=None)
        space["__loader__"] = importlib.machinery.SourceFileLoader("__main__", script)
    if has_own:
        sys.path[0] = first
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [word for at, word in enumerate(sys.orig_argv) if at not in _added()]
    sys.modules["__main__"] = main
    return compile(text, name, "exec", dont_inherit=True), space


def _added() -> range:
    """Return the indexes of the runner and its mode in ``sys.orig_argv``."""
    at = sys.orig_argv.index(__file__)
    return range(at, at + 2)


def main() -> None:
    """Run the script in ``sys.argv``, after the runner and its mode, as if Python had been started with it; watch it."""
    mode, script, *rest = sys.argv[1:]
    watch = None
    with suppress(Exception):  # the step runs unwatched
        watch = _begin(mode, os.path.dirname(os.path.abspath(__file__)))
    code, space = _code(script, rest)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show
    try:
        exec(code, space)  # noqa: S102 (that is its purpose)
    finally:
        if watch is not None:
            watch.guarded(watch.end)


if __name__ == "__main__":
    main()
