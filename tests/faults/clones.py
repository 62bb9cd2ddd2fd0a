"""A disk after a power cut, by what strace saw of a run: what was synced is there, of the rest
anything may be.

The model, per file: bytes that were synced, and writes since. Per folder: names that were synced,
and names made or removed since. fsync of a file makes its bytes safe and not its name; that needs
fsync of its folder. A cut leaves of each file a random subset of the writes since, each whole, cut
at 512 or 4096 bytes, or as zeros, and of each folder any earlier or later state of each name.
SQLite's shared memory is left out: it is made anew at every start.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = (
    "trace=open,openat,creat,close,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,"
    "linkat,unlink,unlinkat,mkdir,mkdirat,ftruncate,fallocate,lseek"
)
STRACE = ("-s", "100000000", "-xx", "-e", CALLS)
"""Arguments that record everything the model needs."""

_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(eq=False)
class File:
    """A file: what is safe of it, and what was done to it since."""

    safe: bytes = b""
    now: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes written), or (length, None) of a truncation."""

    def write(self, offset: int, data: bytes | None) -> None:
        """Now; later on disk, or not."""
        self.now = _changed(self.now, offset, data)
        self.since.append((offset, data))

    def sync(self) -> None:
        """What is now is safe."""
        self.safe, self.since = self.now, []

    def after_a_cut(self, source: random.Random) -> bytes:
        """What a reader may find."""
        found = self.safe
        for offset, data in self.since:
            fate = source.choice(("kept", "kept", "lost", "zeros", "cut"))
            if data is None:
                found = found if fate == "lost" else _changed(found, offset, None)
            elif fate == "kept":
                found = _changed(found, offset, data)
            elif fate == "zeros":
                found = _changed(found, offset, bytes(len(data)))
            elif fate == "cut":
                block = source.choice((512, 4096))
                end = source.randrange(0, offset + len(data) + 1, block)
                found = _changed(found, offset, data[: max(0, end - offset)])
        return found


@dataclass(eq=False)
class Folder:
    """A folder: the names that are safe, and each later state of a name, in order."""

    safe: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    since: dict[str, list[File | Folder | None]] = field(default_factory=dict)

    def name(self, name: str, what: File | Folder | None) -> None:
        """Gives or takes a name."""
        if what is None:
            self.now.pop(name, None)
        else:
            self.now[name] = what
        self.since.setdefault(name, []).append(what)

    def sync(self) -> None:
        """The names are safe; what they stand for is not."""
        self.safe, self.since = dict(self.now), {}

    def write_out(self, path: Path, source: random.Random) -> None:
        """What may be found after a cut, as real files."""
        path.mkdir()
        for name in {**self.safe, **self.since}:
            states = [self.safe.get(name), *self.since.get(name, [])]
            found = source.choice(states)
            if isinstance(found, Folder):
                found.write_out(path / name, source)
            elif found is not None and not name.endswith("-shm"):
                (path / name).write_bytes(found.after_a_cut(source))

    def write_out_now(self, path: Path) -> None:
        """What is found where nothing was cut."""
        path.mkdir()
        for name, found in self.now.items():
            if isinstance(found, Folder):
                found.write_out_now(path / name)
            elif not name.endswith("-shm"):
                (path / name).write_bytes(found.now)


@dataclass(frozen=True)
class Call:
    """A system call that succeeded, or the start of a process, which is one without a name."""

    name: str
    arguments: str = ""
    texts: tuple[bytes, ...] = ()
    result: int = 0

    @property
    def handle(self) -> int:
        """The file descriptor that it is given first."""
        found = re.match(r"\d+", self.arguments)
        return int(found[0]) if found else -1

    @property
    def acknowledged(self) -> int | None:
        """The delivery that a sender is told of by this."""
        said = self.texts[0] if self.name == "write" and self.texts else b""
        return int(said.split()[1]) if self.handle == 1 and said.startswith(b"ack ") else None


def calls(trace: str) -> list[Call]:
    """The calls of one process, in the order in which they returned."""
    begun: dict[str, str] = {}
    found = [Call("")]
    for line in trace.splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if rest.startswith("<... "):
            rest = begun.pop(thread, "") + rest.partition("resumed>")[2]
        match = _LINE.match(rest)
        if match and int(match[3]) >= 0 and "eventfd" not in rest:
            texts = tuple(bytes.fromhex(t.replace("\\x", "")) for t in _TEXT.findall(match[2]))
            found.append(Call(match[1], match[2], texts, int(match[3])))
    return found


class Disk:
    """The model, played call by call. `root` stands for the folder that holds the data folder."""

    def __init__(self, root: Path, syncs: bool = True) -> None:
        """Without `syncs` no fsync does anything: a store that does not wait for the disk."""
        self._path = root
        self._syncs = syncs
        self.root = Folder()
        self._open: dict[int, list[Any]] = {}

    def play(self, call: Call) -> None:
        """One call more."""
        kind = call.name.rstrip("2").removesuffix("at").removesuffix("64")
        if call.name == "":
            self._open.clear()
        elif kind in ("open", "creat"):
            self._opened(call)
        elif kind in ("mkdir", "unlink", "link", "rename"):
            self._named(kind, [self._place(text) for text in call.texts])
        elif call.handle in self._open:
            self._used(kind, call)

    def _opened(self, call: Call) -> None:
        self._open.pop(call.result, None)
        folder, name = self._place(call.texts[0])
        if folder is None:
            return
        found = folder.now.get(name) if name else folder
        if found is None:
            found = File()
            folder.name(name, found)
        if "O_TRUNC" in call.arguments and isinstance(found, File):
            found.write(0, None)
        self._open[call.result] = [found, 0]

    def _named(self, kind: str, places: list[tuple[Folder | None, str]]) -> None:
        (folder, name), (to, new) = places[0], places[-1]
        if folder is None or to is None:
            return
        if kind == "mkdir":
            folder.name(name, Folder())
        if kind in ("link", "rename"):
            to.name(new, folder.now[name])
        if kind in ("unlink", "rename"):
            folder.name(name, None)

    def _used(self, kind: str, call: Call) -> None:
        found, at = self._open[call.handle]
        if kind == "close":
            del self._open[call.handle]
        elif kind in ("fsync", "fdatasync"):
            if self._syncs:
                found.sync()
        elif kind == "lseek":
            self._open[call.handle][1] = call.result
        elif kind == "write":
            found.write(at, call.texts[0][: call.result])
            self._open[call.handle][1] = at + call.result
        elif kind == "pwrite":
            offset = int(call.arguments.rpartition(",")[2])
            found.write(offset, call.texts[0][: call.result])
        elif kind == "ftruncate":
            found.write(int(call.arguments.rpartition(",")[2]), None)
        else:
            raise AssertionError(f"the model does not know {kind}")

    def _place(self, text: bytes) -> tuple[Folder | None, str]:
        """The folder and the name of a path; None outside of the root."""
        path = Path(text.decode())
        if not path.is_relative_to(self._path):
            return None, ""
        *above, name = path.relative_to(self._path).parts or ("",)
        folder: Any = self.root
        for part in above:
            folder = folder.now.get(part)
            if not isinstance(folder, Folder):
                return None, ""
        return folder, name


def _changed(content: bytes, offset: int, data: bytes | None) -> bytes:
    if data is None:
        return content[:offset].ljust(offset, b"\0")
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]
