"""Inputs that are too large, too deep or too many of something: what brings parsers to their
knees.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable

MEGABYTE = 1024 * 1024
# Full size; `scale` makes them smaller.
_LONG = 50 * MEGABYTE
_MANY = 100_000
# Rows that may be sound are read one by one, some 5,000 a second: enough of them to see whether
# time or memory grows faster.
_ROWS = 4 * MEGABYTE

Bomb = Callable[[bytes, float], bytes]


def long_line(sound: bytes, scale: float) -> bytes:
    """Sound input, then a line of 50 MB."""
    return sound + b"x" * int(_LONG * scale) + b"\n" + sound


def long_line_of_wide_text(sound: bytes, scale: float) -> bytes:
    """Sound input, then 50 MB of Chinese without a break."""
    return sound + "沟通".encode() * int(_LONG * scale / 6)


def many_empty_lines(sound: bytes, scale: float) -> bytes:
    """Nothing but line endings."""
    return sound + b"\n" * int(MEGABYTE * scale)


def repeated(sound: bytes, scale: float) -> bytes:
    """The sound input over and over, 4 MB of it."""
    return sound * (int(_ROWS * scale) // len(sound) + 1)


_HEAD = (
    b"From: a@example.com\nTo: b@example.com\nDate: Mon, 2 Nov 2026 09:00:01 +0800\nSubject:"
    b" x\nMIME-Version: 1.0\n"
)


def deep_multipart(_sound: bytes, scale: float) -> bytes:
    """A multipart in a multipart in a multipart …"""
    levels = int(20_000 * scale)
    opening = (
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (level, level)
        for level in range(levels)
    )
    return _HEAD + b"".join(opening) + b"Content-Type: text/plain\n\nhello\n"


def deep_messages(_sound: bytes, scale: float) -> bytes:
    """A mail in a mail in a mail …"""
    return (
        (_HEAD + b"Content-Type: message/rfc822\n\n") * int(20_000 * scale) + _HEAD + b"\nhello\n"
    )


def many_parts(_sound: bytes, scale: float) -> bytes:
    """A hundred thousand parts."""
    part = b"--b\nContent-Type: text/plain\n\nhi\n"
    return (
        _HEAD
        + b"Content-Type: multipart/mixed; boundary=b\n\n"
        + part * int(_MANY * scale)
        + b"--b--\n"
    )


def many_headers(_sound: bytes, scale: float) -> bytes:
    """A hundred thousand header fields."""
    return (
        _HEAD
        + b"".join(b"X-A%d: b\n" % number for number in range(int(_MANY * scale)))
        + b"\nbody\n"
    )


def many_recipients(_sound: bytes, scale: float) -> bytes:
    """A hundred thousand addressees, and as many references, in one field each."""
    count = int(_MANY * scale)
    to = b",\n ".join(b'"P, %d" <p%d@example.com>' % (number, number) for number in range(count))
    references = b"\n ".join(b"<r%d@example.com>" % number for number in range(count))
    return _HEAD + b"Cc: " + to + b"\nReferences: " + references + b"\n\nbody\n"


def hostile_addresses(_sound: bytes, scale: float) -> bytes:
    """Comments in comments, quotes never closed, encoded words in a row: what makes address parsers
    slow or deep.
    """
    count = int(_MANY * scale)
    return (
        b"From: " + b"(" * count + b"a@example.com\nTo: " + b'"' * count + b"\nCc: " + b"=?utf-8?q?a?= " * count
        + b"\nReply-To: " + b"a," * count + b"<" * count + b"\nSubject: " + b"=?utf-8?q?a" * count + b"\n\nbody\n"
    )  # fmt: skip


def huge_base64(_sound: bytes, scale: float) -> bytes:
    """An attachment of 40 MB, and one whose base64 is broken."""
    body = base64.encodebytes(b"\0" * int(40 * MEGABYTE * scale))
    return (
        _HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf\n"
        b"Content-Transfer-Encoding: base64\n\n" + body
        + b"--b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!" + body[: len(body) // 4] + b"--b--\n"
    )  # fmt: skip


def hostile_parameters(_sound: bytes, scale: float) -> bytes:
    """A content type of many parameters, continued and quoted without end (RFC 2231)."""
    count = int(_MANY * scale / 10)
    return (
        _HEAD + b"Content-Type: text/plain; " + b"".join(b"name*%d*=a%%;" % number for number in range(count))
        + b'x="' + b';"\\"' * count + b"\n\nbody\n"
    )  # fmt: skip


def many_from_lines(_sound: bytes, scale: float) -> bytes:
    """An mbox of nothing but separators, and of lines that are nearly such."""
    line = b"From a@example.com Mon Nov  2 09:00:05 2026\n\n"
    return (
        line * int(_MANY * scale)
        + b"\nFrom " * int(_MANY * scale * 4)
        + b"From "
        + b"Mon Nov 2 " * int(_MANY * scale)
    )


def html_maze(_sound: bytes, scale: float) -> bytes:
    """HTML nested without end."""
    return _HEAD + b"Content-Type: text/html\n\n" + b"<div><b>x<table><tr><td>" * int(_MANY * scale)


def quoted_replies(_sound: bytes, scale: float) -> bytes:
    """A reply to a reply to a reply, quoted each time."""
    levels = int(2_000 * scale) + 5
    lines = (b">" * level + b" On Monday, somebody wrote:\n" for level in range(levels))
    return _HEAD + b"\n" + b"".join(lines) + b"\n> " * int(_MANY * scale)


def open_quote(sound: bytes, scale: float) -> bytes:
    """A table whose quote is never closed: every row is one field."""
    return (
        sound + b'"' + (sound.replace(b'"', b"") + b"\n") * (int(_ROWS * scale) // len(sound) + 1)
    )


def quotes_only(sound: bytes, scale: float) -> bytes:
    """Quotes, many of them, in one field."""
    return sound + b'"' * int(20 * MEGABYTE * scale) + b"\n" + sound


def many_columns(sound: bytes, scale: float) -> bytes:
    """A row of a million cells, and a header as wide."""
    return b"a," * int(MEGABYTE * scale) + b"\n" + sound + b"," * int(MEGABYTE * scale) + b"\n"


def deep_json(sound: bytes, scale: float) -> bytes:
    """JSON nested deeper than any parser's stack."""
    depth = int(MEGABYTE * scale)
    return sound + b'{"data":' * depth + b"1" + b"}" * depth + b"\n" + b"[" * depth + b"\n" + sound


def huge_json_number(sound: bytes, scale: float) -> bytes:
    """A number of a million digits, which takes quadratic time to convert."""
    digits = b"9" * int(MEGABYTE * scale)
    return (
        sound
        + b'{"specversion":"1.0","id":'
        + digits
        + b',"time":-'
        + digits
        + b"e"
        + digits[:5]
        + b"}\n"
        + digits
        + b"\n"
    )


def many_keys(sound: bytes, scale: float) -> bytes:
    """An object of a hundred thousand keys, half of them the same."""
    pairs = b",".join(
        b'"k%d":%d' % (number % (_MANY // 2), number) for number in range(int(_MANY * scale))
    )
    return sound + b'{"id":"x",' + pairs + b"}\n"


BOMBS: dict[str, tuple[Bomb, ...]] = {
    "email": (
        long_line, deep_multipart, deep_messages, many_parts, many_headers, many_recipients, hostile_addresses, huge_base64,
        hostile_parameters, many_from_lines, html_maze, quoted_replies, many_empty_lines, repeated, long_line_of_wide_text,
    ),
    "table": (
        long_line, open_quote, quotes_only, many_columns, deep_json, huge_json_number, many_keys, many_empty_lines, repeated,
        long_line_of_wide_text,
    ),
}  # fmt: skip


# ---- packed
# ---------------------------------------------------------------------------------------------------------------------


def _tar(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def packed(sound: bytes, rng: random.Random) -> bytes:
    """Return sound input packed in any way: in an archive or not, compressed or not."""
    members = {"a": sound, "../b.csv": sound[::-1], "c": b""}
    compress = rng.choice((bytes, gzip.compress, bz2.compress, lzma.compress))
    return compress(rng.choice((_tar(members), _zip(members), sound)))


def expanding(sound: bytes, rng: random.Random, scale: float) -> bytes:
    """Few bytes that unpack to 300 MB of zeros, or to 4 MB of sound input."""
    zeros = rng.random() < 0.5
    chunk = (
        b"\0" * int(MEGABYTE * scale) if zeros else sound * int(MEGABYTE * scale // len(sound) + 1)
    )
    opening, count = rng.choice((b"", sound)), 300 if zeros else 4
    kind = rng.choice(("zip", "gzip", "bzip2"))
    if kind != "zip":
        # Streams in a row are one: each need be compressed but once.
        compress = gzip.compress if kind == "gzip" else bz2.compress
        return compress(opening) + compress(chunk, 1) * count
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a", "w", force_zip64=True) as member,
    ):
        member.write(opening)
        for _ in range(count):
            member.write(chunk)
    return target.getvalue()


def nested(sound: bytes, _rng: random.Random, _scale: float) -> bytes:
    """A zip in a zip in a zip."""
    for _ in range(10):
        sound = _zip({"a.zip": sound, "b.zip": sound})
    return sound


def many_members(sound: bytes, rng: random.Random, scale: float) -> bytes:
    """An archive of two thousand files."""
    members = {f"{number}": sound[:20] for number in range(int(2_000 * scale))}
    return rng.choice((_zip, _tar))(members)
