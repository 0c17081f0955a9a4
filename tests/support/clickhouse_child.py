"""The process of a ClickHouse server of tests: chdb's library runs an endless query beside its
listeners, until the parent ends.

`clickhouse_child.py PARENT_PID LIBRARY ARGUMENT…`; see clickhouse_server.py.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading


def _end_with(parent: int) -> None:
    """Kill this process when the parent has ended; prctl's signal would come with the end of the
    thread that started us.
    """
    try:
        parents_end = os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(1)
    select.select([parents_end], [], [])
    os.kill(os.getpid(), signal.SIGKILL)


def _serve(library: str, arguments: list[str]) -> None:
    chdb = ctypes.CDLL(library)
    chdb.chdb_query_cmdline.restype = ctypes.c_void_p
    chdb.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    words = [word.encode() for word in ("clickhouse", *arguments)]
    chdb.chdb_query_cmdline(len(words), (ctypes.c_char_p * len(words))(*words))
    raise SystemExit("the server's endless query has ended")


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    _serve(sys.argv[2], sys.argv[3:])
