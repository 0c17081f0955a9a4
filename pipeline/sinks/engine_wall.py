"""A wall around the threads of the embedded engine: no network, no files but those of its store.

The rules of questions look at text; the wall is what remains if they miss something. On Linux a
thread can give up rights, and the threads that it starts inherit that. The engine starts its
threads from those that import and call it, so both happen in threads behind the wall only:

- Landlock (https://docs.kernel.org/userspace-api/landlock.html, Linux 5.19 or later) leaves access
  to the folders of the store, and reading of what the engine loads: libraries, Python's modules,
  and what the kernel says of processors and memory;
- a seccomp filter (https://docs.kernel.org/userspace-api/seccomp_filter.html) refuses sockets,
  other programs and io_uring, which could open sockets without that call.

The engine keeps its threads for ever, so the first store of a process decides for all later ones.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import importlib.util
import logging
import os
import platform
import struct
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from pipeline.sinks.warehouse import WarehouseSetupError

logger = logging.getLogger(__name__)

# System calls that are younger than the tables of numbers have one number on all architectures.
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
# From version 2 (Linux 5.19) files can be moved between folders, as the engine does with parts.
_OLDEST = 2
# The access rights of linux/landlock.h by the version that has them: thirteen first, then REFER,
# TRUNCATE and IOCTL_DEV. A kernel refuses rights that it does not know.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_EXECUTE, _READ_FILE, _READ_FOLDER = 1, 1 << 2, 1 << 3
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2

# linux/audit.h's number of an architecture, and its numbers of socket, socketpair, execve, ptrace.
# execveat and io_uring_setup follow.
_ARCHITECTURES = {
    "x86_64": (0xC000003E, (41, 53, 59, 101, 322, 425)),
    "aarch64": (0xC00000B7, (198, 199, 221, 117, 281, 425)),
}
# x86-64 has a second table of system calls, whose numbers have this bit.
_SECOND_TABLE = 0x4000_0000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000 | errno.EACCES

_ENGINE = "chdb"
# The engine's library looks here for the auxiliary vector when it is loaded. If it cannot read it,
# it takes what lies behind the environment in memory for it, and crashes where Python has moved
# that.
_AUXV = "/proc/self/auxv"
# What the engine reads to start, where it is there. Not /proc: it has the environment of processes.
_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    _AUXV,
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
)

_lock = threading.Lock()
_folders: list[Path] = []
_is_up = False


def allow_folders(folders: Iterable[Path]) -> None:
    """Let the engine use folders, which exist, with all that is in them.

    Raises WarehouseSetupError if a thread is behind the wall already and a folder is not.
    """
    with _lock:
        for folder in (folder.resolve() for folder in folders):
            if any(folder.is_relative_to(known) for known in _folders):
                continue
            if _is_up:
                raise WarehouseSetupError(
                    f"this process has opened the store in {_folders[0]}: open {folder} in another"
                    " process"
                )
            _folders.append(folder)


def import_engine(scratch: Path) -> None:
    """Import chdb in this thread, which is one of `engine_thread`; scratch is in its folders.

    The import opens a temporary store in TMPDIR and starts threads that later stores use.
    """
    with _lock:
        if f"{_ENGINE}.session" in sys.modules:
            return
        scratch.mkdir(exist_ok=True)
        # The wall lets this very file through, which the kernel keeps for as long as it is open.
        auxv = _open_auxv()
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(scratch)
        try:
            importlib.import_module(f"{_ENGINE}.session")
        finally:
            os.close(auxv)
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before
            # Folders that could not be listed from here count as empty until then.
            importlib.invalidate_caches()


def _open_auxv() -> int:
    try:
        return os.open(_AUXV if sys.platform == "linux" else os.devnull, os.O_RDONLY)
    except OSError as error:
        raise WarehouseSetupError(
            f"{_AUXV}: {error.strerror}: the embedded engine needs it to start: try again, with"
            " /proc mounted"
        ) from error


def engine_thread(name: str) -> ThreadPoolExecutor:
    """Return a thread behind the wall, which runs what is submitted, one call after another."""
    global _is_up
    if missing_part():
        _warn()
        return ThreadPoolExecutor(1, thread_name_prefix=name)
    # Python looks once for a folder that it can write to; behind the wall it would find none.
    tempfile.gettempdir()
    with _lock:
        _is_up, folders = True, tuple(_folders)
    return ThreadPoolExecutor(
        1, thread_name_prefix=name, initializer=_restrict, initargs=(folders,)
    )


@cache
def missing_part() -> str:
    """Return what the system lacks for the wall, or an empty string."""
    if sys.platform != "linux":
        return f"{platform.system()} has no Landlock"
    if platform.machine() not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        return f"the wall has no table of system calls for {platform.machine()}"
    if _version() < _OLDEST:
        return "Landlock is not in this kernel or is switched off (it needs Linux 5.19)"
    problems: list[str] = []

    def attempt() -> None:
        try:
            _restrict(())
        except WarehouseSetupError as error:
            problems.append(str(error))

    # A container may refuse what the kernel offers. The thread is restricted and ends.
    thread = threading.Thread(target=attempt, name="engine-wall")
    thread.start()
    thread.join()
    return "".join(problems)


@cache
def _warn() -> None:
    logger.warning(
        "Questions run without the second wall: %s; only the rules of questions keep them from"
        " files and the network",
        missing_part(),
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _version() -> int:
    return int(_libc().syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG))


def _restrict(folders: tuple[Path, ...]) -> None:
    """Put this thread behind the wall; raises WarehouseSetupError if the system refuses."""
    libc = _libc()
    # Without it an unprivileged thread may not restrict itself.
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _restrict_files(libc, folders)
    _restrict_calls(libc)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise WarehouseSetupError(f"{what}: the system refuses it: {os.strerror(number)}")
    return result


def _restrict_files(libc: ctypes.CDLL, folders: tuple[Path, ...]) -> None:
    version = _version()
    rights = sum(bits for since, bits in _RIGHTS.items() if since <= version)
    attributes = struct.pack("=Q", rights)
    rules = _checked(
        libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0), "Landlock"
    )
    try:
        for path in _readable():
            allowed = _READ_FILE | _READ_FOLDER if path.is_dir() else _READ_FILE
            _allow(libc, rules, path, allowed)
        for folder in folders:
            _allow(libc, rules, folder, rights & ~_EXECUTE)
        _checked(libc.syscall(_LANDLOCK_RESTRICT, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, opened)
        _checked(
            libc.syscall(_LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, rule, 0), f"Landlock for {path}"
        )
    finally:
        os.close(opened)


@cache
def _readable() -> tuple[Path, ...]:
    """Return the files and folders that the engine may read beside its store."""
    paths = {Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))}
    paths |= {Path(name) for name in _SYSTEM}
    spec = importlib.util.find_spec(_ENGINE)
    if spec is not None and spec.origin is not None:
        paths.add(Path(spec.origin).parents[1])
    return tuple(sorted(path for path in paths if path.exists()))


def _restrict_calls(libc: ctypes.CDLL) -> None:
    program = _filter(platform.machine())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions of eight bytes, and their address.
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    _checked(libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, header, 0, 0), "seccomp")


def _filter(machine: str) -> bytes:
    """Return a program of the classic packet filter over struct seccomp_data.

    It refuses calls of another architecture and those of the table, and allows all others.
    """
    architecture, refused = _ARCHITECTURES[machine]
    count = len(refused)
    lines = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, count + 3, architecture),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, count + 1, 0, _SECOND_TABLE),
        *((_EQUAL, count - index, 0, call) for index, call in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
