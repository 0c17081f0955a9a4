"""Hostile inputs for parsers: too large, too deep, or too many of something."""

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
# The full sizes; `scale` reduces them.
_LONG = 50 * MEGABYTE
_MANY = 100_000
# Possibly valid rows are parsed one by one, some 5,000 a second: enough to show whether time or
# memory grows faster than the input.
_ROWS = 4 * MEGABYTE

Bomb = Callable[[bytes, float], bytes]


def long_line(valid: bytes, scale: float) -> bytes:
    """Valid input, then a line of 50 MB."""
    return valid + b"x" * int(_LONG * scale) + b"\n" + valid


def long_line_of_wide_text(valid: bytes, scale: float) -> bytes:
    """Valid input, then 50 MB of Chinese without a break."""
    return valid + "沟通".encode() * int(_LONG * scale / 6)


def many_empty_lines(valid: bytes, scale: float) -> bytes:
    """Only line endings."""
    return valid + b"\n" * int(MEGABYTE * scale)


def repeated(valid: bytes, scale: float) -> bytes:
    """The valid input repeated, 4 MB of it."""
    return valid * (int(_ROWS * scale) // len(valid) + 1)


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
    """A hundred thousand recipients, and as many references, in one field each."""
    count = int(_MANY * scale)
    to = b",\n ".join(b'"P, %d" <p%d@example.com>' % (number, number) for number in range(count))
    references = b"\n ".join(b"<r%d@example.com>" % number for number in range(count))
    return _HEAD + b"Cc: " + to + b"\nReferences: " + references + b"\n\nbody\n"


def hostile_addresses(_sound: bytes, scale: float) -> bytes:
    """Nested comments, unclosed quotes, rows of encoded words: slow or deep for address parsers."""
    count = int(_MANY * scale)
    return (
        b"From: "
        + b"(" * count
        + b"a@example.com\nTo: "
        + b'"' * count
        + b"\nCc: "
        + b"=?utf-8?q?a?= " * count
        + b"\nReply-To: "
        + b"a," * count
        + b"<" * count
        + b"\nSubject: "
        + b"=?utf-8?q?a" * count
        + b"\n\nbody\n"
    )


def huge_base64(_sound: bytes, scale: float) -> bytes:
    """An attachment of 40 MB, and one whose base64 is broken."""
    body = base64.encodebytes(b"\0" * int(40 * MEGABYTE * scale))
    return (
        _HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf\n"
        b"Content-Transfer-Encoding: base64\n\n"
        + body
        + b"--b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!"
        + body[: len(body) // 4]
        + b"--b--\n"
    )


def hostile_parameters(_sound: bytes, scale: float) -> bytes:
    """A content type with many parameters, continued and quoted without end (RFC 2231)."""
    count = int(_MANY * scale / 10)
    return (
        _HEAD
        + b"Content-Type: text/plain; "
        + b"".join(b"name*%d*=a%%;" % number for number in range(count))
        + b'x="'
        + b';"\\"' * count
        + b"\n\nbody\n"
    )


def many_from_lines(_sound: bytes, scale: float) -> bytes:
    """An mbox that consists of separators and of lines that almost are separators."""
    line = b"From a@example.com Mon Nov  2 09:00:05 2026\n\n"
    return (
        line * int(_MANY * scale)
        + b"\nFrom " * int(_MANY * scale * 4)
        + b"From "
        + b"Mon Nov 2 " * int(_MANY * scale)
    )


def html_maze(_sound: bytes, scale: float) -> bytes:
    """HTML with endless nesting."""
    return _HEAD + b"Content-Type: text/html\n\n" + b"<div><b>x<table><tr><td>" * int(_MANY * scale)


def quoted_replies(_sound: bytes, scale: float) -> bytes:
    """A reply to a reply to a reply, quoted each time."""
    levels = int(2_000 * scale) + 5
    lines = (b">" * level + b" On Monday, somebody wrote:\n" for level in range(levels))
    return _HEAD + b"\n" + b"".join(lines) + b"\n> " * int(_MANY * scale)


def open_quote(valid: bytes, scale: float) -> bytes:
    """A table whose quote is never closed: every row is one field."""
    return (
        valid + b'"' + (valid.replace(b'"', b"") + b"\n") * (int(_ROWS * scale) // len(valid) + 1)
    )


def quotes_only(valid: bytes, scale: float) -> bytes:
    """Quotes, many of them, in one field."""
    return valid + b'"' * int(20 * MEGABYTE * scale) + b"\n" + valid


def many_columns(valid: bytes, scale: float) -> bytes:
    """A row of a million cells and a header just as wide."""
    return b"a," * int(MEGABYTE * scale) + b"\n" + valid + b"," * int(MEGABYTE * scale) + b"\n"


def deep_json(valid: bytes, scale: float) -> bytes:
    """JSON nested deeper than any parser's stack."""
    depth = int(MEGABYTE * scale)
    return valid + b'{"data":' * depth + b"1" + b"}" * depth + b"\n" + b"[" * depth + b"\n" + valid


def huge_json_number(valid: bytes, scale: float) -> bytes:
    """A number of a million digits, whose conversion takes quadratic time."""
    digits = b"9" * int(MEGABYTE * scale)
    return (
        valid
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


def many_keys(valid: bytes, scale: float) -> bytes:
    """An object of a hundred thousand keys, half of them the same."""
    pairs = b",".join(
        b'"k%d":%d' % (number % (_MANY // 2), number) for number in range(int(_MANY * scale))
    )
    return valid + b'{"id":"x",' + pairs + b"}\n"


BOMBS: dict[str, tuple[Bomb, ...]] = {
    "mail": (
        long_line,
        deep_multipart,
        deep_messages,
        many_parts,
        many_headers,
        many_recipients,
        hostile_addresses,
        huge_base64,
        hostile_parameters,
        many_from_lines,
        html_maze,
        quoted_replies,
        many_empty_lines,
        repeated,
        long_line_of_wide_text,
    ),
    "table": (
        long_line,
        open_quote,
        quotes_only,
        many_columns,
        deep_json,
        huge_json_number,
        many_keys,
        many_empty_lines,
        repeated,
        long_line_of_wide_text,
    ),
}


# --- archives


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


def packed(valid: bytes, rng: random.Random) -> bytes:
    """Return valid input packed in any way: in an archive or not, compressed or not."""
    members = {"a": valid, "../b.csv": valid[::-1], "c": b""}
    compress = rng.choice((bytes, gzip.compress, bz2.compress, lzma.compress))
    return compress(rng.choice((_tar(members), _zip(members), valid)))


def expanding(valid: bytes, rng: random.Random, scale: float) -> bytes:
    """Few bytes that unpack to 300 MB of zeros, or to 4 MB of valid input."""
    zeros = rng.random() < 0.5
    chunk = (
        b"\0" * int(MEGABYTE * scale) if zeros else valid * int(MEGABYTE * scale // len(valid) + 1)
    )
    opening, count = rng.choice((b"", valid)), 300 if zeros else 4
    kind = rng.choice(("zip", "gzip", "bzip2"))
    if kind != "zip":
        # Concatenated streams are one stream: each is compressed only once.
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


def nested(valid: bytes, _rng: random.Random, _scale: float) -> bytes:
    """A zip in a zip in a zip."""
    for _ in range(10):
        valid = _zip({"a.zip": valid, "b.zip": valid})
    return valid


def many_members(valid: bytes, rng: random.Random, scale: float) -> bytes:
    """An archive of two thousand files."""
    members = {f"{number}": valid[:20] for number in range(int(2_000 * scale))}
    return rng.choice((_zip, _tar))(members)
