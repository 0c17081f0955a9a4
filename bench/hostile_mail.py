"""Measure how mail parsers and HTML renderers behave on inputs that are built to exhaust them.

`python bench/hostile_mail.py [--peers] [--limit 20]`. Every pair of a reader and an input runs in a
process of its own with a limit of CPU time. A cell shows the CPU seconds of the reader, the
exception that it raised, "> 20 s" beyond the limit, or "crashed" where the process died. Peers are
those of `mime_quality.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import mime_quality  # noqa: E402

_HEADER = b"From: a@example.com\nSubject: x\nMIME-Version: 1.0\n"


def nested_multiparts(levels: int, lines: int) -> bytes:
    """Return a mail of nested multiparts with so many lines of text in the innermost one."""
    openings = (
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (level, level)
        for level in range(levels)
    )
    return _HEADER + b"".join(openings) + b"Content-Type: text/plain\n\n" + b"--text\n" * lines


def nested_messages(levels: int) -> bytes:
    """Return a mail in a mail in a mail …"""
    return (_HEADER + b"Content-Type: message/rfc822\n\n") * levels + _HEADER + b"\nhello\n"


def many_parts(count: int) -> bytes:
    """Return a mail of so many parts."""
    part = b"--b\nContent-Type: text/plain\n\nhi\n"
    return _HEADER + b"Content-Type: multipart/mixed; boundary=b\n\n" + part * count + b"--b--\n"


def hostile_addresses(count: int) -> bytes:
    """Return a mail with so many nested comments, open quotes and encoded words in its headers."""
    fields = (
        b"From: " + b"(" * count + b"a@example.com",
        b"To: " + b'"' * count,
        b"Cc: " + b"=?utf-8?q?a?= " * count,
        b"Subject: " + b"=?utf-8?q?a" * count,
    )
    return b"\n".join(fields) + b"\n\nbody\n"


MAILS: dict[str, bytes] = {
    "200 multiparts, 40,000 lines": nested_multiparts(200, 40_000),
    "3,000 multiparts": nested_multiparts(3_000, 1),
    "3,000 attached mails": nested_messages(3_000),
    "100,000 parts": many_parts(100_000),
    "100,000 tokens in addresses": hostile_addresses(100_000),
}
PAGES: dict[str, str] = {
    "100,000 open divs": "<div>x" * 100_000,
    # More of them need gigabytes of memory in a tree.
    "2,000 open font tags": "".join(f"<p><font size={size}>x" for size in range(2_000)),
    "100,000 open comments": "<!-- x" * 100_000,
    "1 MB of <": "<" * 1_000_000,
}


def run(read: Callable[[Any], Any], source: bytes | str, limit: int, answer: Connection) -> None:
    """Send the CPU seconds that a reader needs for an input, or the exception it raised."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    begun = time.process_time()
    try:
        read(source)
    except BaseException as error:  # RecursionError, panics of extension modules: all are results
        answer.send(type(error).__name__)
    else:
        answer.send(f"{time.process_time() - begun:.2f} s")


def measure(read: Callable[[Any], Any], source: bytes | str, limit: int) -> str:
    """Return the cell of one reader and one input."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(read, source, limit, sender))
    process.start()
    sender.close()
    try:
        return str(receiver.recv())
    except EOFError:
        process.join()
        return f"> {limit} s" if process.exitcode == -signal.SIGXCPU else "crashed"
    finally:
        process.join()


def table(title: str, readers: dict[str, Any], sources: dict[str, Any], limit: int) -> None:
    """Print a table of readers by inputs."""
    print(f"\n| {title} | {' | '.join(readers)} |\n|{'---|' * (len(readers) + 1)}")
    for name, source in sources.items():
        cells = (measure(read, source, limit) for read in readers.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print one table for mails and one for pages."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--peers", action="store_true", help="measure installed peers as well")
    arguments.add_argument("--limit", type=int, default=20, help="CPU seconds of one cell")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    table("hostile mail", mime_quality.parsers(options.peers), MAILS, options.limit)
    table("hostile page", mime_quality.renderers(options.peers), PAGES, options.limit)


if __name__ == "__main__":
    main()
