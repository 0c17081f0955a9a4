"""Finds what there is to read: files, folders, Maildirs, archives and compressed files.

They come as input units in a stable order.
"""

from __future__ import annotations

import heapq
import io
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pipeline.ingest.archives import Skip, printable_name, unreadable_unit
from pipeline.ingest.byte_streams import (
    CHUNK,
    TAR_BLOCK,
    UnreadableUnitError,
    decompress,
    is_compressed,
    is_tar,
    is_zip,
)
from pipeline.ingest.port import InputUnit
from pipeline.ingest.tar_archives import tar_units
from pipeline.ingest.zip_archives import zip_units

_log = logging.getLogger(__name__)

# So many names (about 10 MB) are sorted at a time; a larger folder is listed once per batch.
_SORT_BATCH = 100_000

_IGNORED_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\A(?:.*~|#.*#|.*\.sw[a-p]|~\$.*)\Z"), "an editor's backup or lock file"),
    (
        re.compile(r"(?i)\A(?:thumbs\.db|desktop\.ini|__MACOSX)\Z"),
        "the operating system's own file",
    ),
    (re.compile(r"(?i)\A.*\.(?:part|crdownload|lock)\Z"), "a download or lock in progress"),
    (
        re.compile(
            r"(?i)\A(?:dovecot(?:[.-].*)?|courier.*|maildirfolder|maildirsize|subscriptions"
            r"|.*\.msf)\Z"
        ),
        "a mail program's index",
    ),
)
# https://cr.yp.to/proto/maildir.html: "unique:2,FLAGS"; file systems without colons get ; or !
# instead.
_MAILDIR_FLAGS = re.compile(r"[:;!][12],[^/]*$")
# A message that was being delivered when an archive was made: tmp/1699999999.unique.host
_MAILDIR_TMP = re.compile(r"(?:^|/)tmp/\d++\.(?=[^/]++$)[^/]+?\.[^/]")
_MAILDIR_READ = ("cur", "new")


def log_skip(name: str, reason: str) -> None:
    """Log which file is not read, and why."""
    _log.info("Skipped %s: %s", name, reason)


def walk(paths: Sequence[Path], skip: Skip = log_skip) -> Iterator[InputUnit]:
    """Yield all units under the paths, in the order of the paths; memory does not grow with them.

    Folders are read recursively, sorted by name.

    - A file is a unit named by its absolute path. gzip, bzip2 and xz are recognised by their first
      bytes and decompressed.
    - A tar (plain or compressed) or zip archive gives a unit `path!member` for each of its files,
      streamed. The units of a tar must be opened and read one after the other, as they come; see
      `tar_units`.
    - A folder with cur and new or tmp is a Maildir: tmp is left out, and a message's unit is
      `folder/unique`, the same before and after it is read and flagged.
    - In folders and archives, hidden files and files of editors, mail programs and operating
      systems are passed to `skip` with the reason, as are sockets, pipes, devices and dangling
      links. A file named in `paths` is read whatever its name. Links are followed, a folder is read
      once.

    A unit that cannot be read raises UnreadableUnitError (its bytes) or OSError (the machine) when
    it is opened or read. Raises FileNotFoundError, before the first unit, for a missing path.
    """
    named = [os.path.abspath(path) for path in paths]
    for path, argument in zip(named, paths, strict=True):
        if not os.path.exists(path):
            raise FileNotFoundError(f"{argument}: no such file or folder")
    return _Walk(skip).units(named)


class _Walk:
    def __init__(self, skip: Skip) -> None:
        self._skip = skip
        self._visited_folders: set[tuple[int, int]] = set()

    def units(self, named: Sequence[str]) -> Iterator[InputUnit]:
        for path in named:
            yield from self._visit(path, named=True)
            # A stack instead of recursion: folders may be nested deeper than Python's call stack.
            open_folders = [self._children(path)] if os.path.isdir(path) else []
            while open_folders:
                child = next(open_folders[-1], None)
                if child is None:
                    open_folders.pop()
                elif isinstance(child, InputUnit):
                    yield child
                elif os.path.isdir(child):
                    open_folders.append(self._children(child))
                else:
                    yield from self._visit(child, named=False)

    def _visit(self, path: str, named: bool) -> Iterator[InputUnit]:
        """Yield the units of a path that is not a folder."""
        name = printable_name(path)
        try:
            status = os.stat(path)
        except OSError as error:
            self._skip(
                name,
                (
                    "a dangling link"
                    if os.path.islink(path)
                    else f"its status cannot be read: {error.strerror}"
                ),
            )
            return
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            if named:
                yield unreadable_unit(
                    name,
                    f"{name}: this is a pipe, socket or device, not a file; save it as a file"
                    " first",
                    "",
                )
            else:
                self._skip(name, "a pipe, socket or device")
            return
        folder, base = os.path.split(path)
        if os.path.basename(folder) in _MAILDIR_READ and _is_maildir(os.path.dirname(folder)):
            yield _message(os.path.dirname(folder), folder, base, status)
        else:
            yield from self._file(path, name, status)

    def _file(self, path: str, name: str, status: os.stat_result) -> Iterator[InputUnit]:
        signature = _signature(status)
        file = _ProbedFile(path, name)
        try:
            kind = file.kind()
        except OSError:
            # Opening it fails in the same way, and that error is reported.
            kind = "file"
        try:
            if kind == "tar":
                yield from self._members(tar_units(file.open, name, signature, self._skip), name)
            elif kind == "zip":
                file.close()
                yield from self._members(zip_units(path, name, signature, self._skip), name)
            else:
                yield InputUnit(name, file.open, signature)
        finally:
            file.close()

    def _members(self, units: Iterator[InputUnit], archive: str) -> Iterator[InputUnit]:
        empty = True
        for unit in units:
            empty = False
            if reason := _unwanted_member(unit.name.removeprefix(f"{archive}!")):
                self._skip(unit.name, reason)
            else:
                yield unit
        if empty:
            self._skip(archive, "an archive without files")

    def _children(self, folder: str) -> Iterator[InputUnit | str]:
        """Yield what a folder holds: units of a Maildir's messages, and paths to visit."""
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in self._visited_folders:
                self._skip(printable_name(folder), "this folder was read already by another path")
                return
            self._visited_folders.add(identity)
            yield from self._entries(folder)
        except OSError as error:
            # The other folders are read. This one is reported like a file that cannot be opened.
            yield InputUnit(printable_name(str(error.filename or folder)), partial(_raise, error))

    def _entries(self, folder: str) -> Iterator[InputUnit | str]:
        maildir = _is_maildir(folder)
        if maildir:
            yield from self._messages(folder)
        for base in _sorted_names(folder):
            path = os.path.join(folder, base)
            if maildir and base in (*_MAILDIR_READ, "tmp"):
                continue
            if (reason := _unwanted(base)) and not (os.path.isdir(path) and _is_maildir(path)):
                self._skip(printable_name(path), reason)
            else:
                yield path

    def _messages(self, maildir: str) -> Iterator[InputUnit]:
        """Yield the messages of new and cur in the order of their names.

        The names begin with the time of delivery.
        """
        folders = [os.path.join(maildir, folder) for folder in _MAILDIR_READ]
        listings = (
            ((base, folder) for base in _sorted_names(folder))
            for folder in folders
            if os.path.isdir(folder)
        )
        for base, folder in heapq.merge(*listings):
            path = os.path.join(folder, base)
            if reason := _unwanted(base):
                self._skip(printable_name(path), reason)
                continue
            try:
                status = os.stat(path)
            except FileNotFoundError:
                # It was moved to cur after it was listed; cur is listed later, or was listed under
                # the same name.
                path = _find_message(maildir, base) or path
                if not os.path.exists(path):
                    self._skip(printable_name(path), "it was removed after it was listed")
                    continue
                status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                yield _message(maildir, os.path.dirname(path), os.path.basename(path), status)
            else:
                self._skip(printable_name(path), "not a file")


def _sorted_names(folder: str) -> Iterator[str]:
    """Yield the names in a folder in order of their code points, in bounded memory."""
    last = ""
    while True:
        with os.scandir(folder) as entries:
            batch = heapq.nsmallest(
                _SORT_BATCH, (entry.name for entry in entries if entry.name > last)
            )
        yield from batch
        if len(batch) < _SORT_BATCH:
            return
        last = batch[-1]


def _unwanted(base: str) -> str | None:
    if base.startswith("."):
        return "hidden"
    return next((reason for pattern, reason in _IGNORED_NAMES if pattern.match(base)), None)


def _unwanted_member(member: str) -> str | None:
    if _MAILDIR_TMP.search(member):
        return "a message in delivery"
    *folders, base = member.split("/")
    # The folders of a Maildir are hidden ones: Maildir/.Sent/cur/unique:2,S
    visible = (
        ()
        if folders and folders[-1] in _MAILDIR_READ
        else [name for name in folders if name not in ("", ".", "..")]
    )
    return next((reason for name in (base, *visible) if (reason := _unwanted(name))), None)


def _signature(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


class _ProbedFile:
    """A file that is opened once for both: to recognise its kind, and to be read as a unit."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        # Waits at its first byte until the unit is opened, or the next one is requested.
        self._stream: io.BufferedReader | None = None

    def kind(self) -> str:
        """Return tar, zip or file by the first bytes, decompressed if the file is compressed."""
        self._stream = file = _open_raw(self._path)
        head = file.peek(TAR_BLOCK)
        if is_zip(head):
            return "zip"
        if not is_compressed(head):
            return "tar" if is_tar(head) else "file"
        # A decompressor cannot go back to the start, so the file is opened again to be read.
        self._stream = None
        with file:
            return self._kind_of_content(file)

    def _kind_of_content(self, file: io.BufferedReader) -> str:
        size = os.fstat(file.fileno()).st_size
        try:
            head = decompress(file, self._name, size).read(TAR_BLOCK)
        except UnreadableUnitError:
            # Reading it delivers what comes before the damage, and then reports the damage.
            return "file"
        return "tar" if is_tar(head) else "file"

    def open(self) -> BinaryIO:
        """Return the bytes from the start, decompressed if the file is compressed."""
        stream, self._stream = self._stream, None
        if stream is None:
            return _open(self._path, self._name)
        # It is not compressed, so its size, which limits the decompression, does not matter.
        return decompress(stream, self._name, packed_bytes=0)

    def close(self) -> None:
        """Close the file if nobody has opened the unit."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _open_raw(path: str) -> io.BufferedReader:
    return io.BufferedReader(io.FileIO(path), CHUNK)


def _open(path: str, name: str) -> BinaryIO:
    file = _open_raw(path)
    return decompress(file, name, os.fstat(file.fileno()).st_size)


# ---- Maildir


def _is_maildir(folder: str) -> bool:
    # Archive programs and version control omit empty folders, so new or tmp may be missing.
    return os.path.isdir(os.path.join(folder, "cur")) and any(
        os.path.isdir(os.path.join(folder, other)) for other in ("new", "tmp")
    )


def _unique(base: str) -> str:
    return _MAILDIR_FLAGS.sub("", base)


def _message(maildir: str, folder: str, base: str, status: os.stat_result) -> InputUnit:
    name = printable_name(os.path.join(maildir, _unique(base)))

    def open_message() -> BinaryIO:
        try:
            return _open(os.path.join(folder, base), name)
        except FileNotFoundError:
            # It was flagged, or moved from new to cur, after it was listed.
            if (current := _find_message(maildir, base)) is None:
                raise
            return _open(current, name)

    return InputUnit(name, open_message, _signature(status))


def _find_message(maildir: str, base: str) -> str | None:
    for folder in (os.path.join(maildir, name) for name in _MAILDIR_READ):
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _unique(entry.name) == _unique(base):
                        return entry.path
    return None


def _raise(error: OSError) -> BinaryIO:
    raise error
