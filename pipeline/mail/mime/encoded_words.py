"""Decode encoded words (RFC 2047) and header parameters (RFC 2231), including malformed ones."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from pipeline.mail.charset import decode_text

# A media type with its parameters is shorter than this.
_LONGEST_STRUCTURED = 16_384

_OPENING = re.compile(r"=\?([^?\s=]{1,60})\?([bBqQ])\?")
_CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
_BLANKS = re.compile(r"[ \t\r\n]+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
# It begins with the first blank of a run only, and no part gives back what it took.
_PARAMETER = re.compile(
    r"(?:^|;|(?<!\s)\s)\s*+([\w!#$&^.+-]++(?:\*\d{1,3})?\*?)\s*+="
    r'\s*+("(?:\\.|[^"\\])*"|[^;]*)',
    re.DOTALL,
)
_TOKEN_END = re.compile(r"[\s;]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"^([\w.:+-]{0,60})'[^']{0,60}'", re.ASCII)


def decode_encoded_words(text: str) -> str:
    """Decode the encoded words of a header; never raises.

    Blanks between two words are dropped (RFC 2047, section 6.2). Adjacent words in one charset are
    joined as bytes before they are decoded, because some mailers split inside a character. A
    truncated word is decoded as far as it goes.

    >>> decode_encoded_words("=?utf-8?B?5L2g?= =?utf-8?B?5aW9?=")
    '你好'
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending: list[_EncodedWord] = []
    position = 0
    end_mark = -1
    while (opening := _OPENING.search(text, position)) is not None:
        between = text[position : opening.start()]
        if end_mark < opening.end():
            end_mark = text.find("?=", opening.end())
            end_mark = end_mark if end_mark >= 0 else len(text)
        nested = _OPENING.search(text, opening.end(), end_mark)
        if nested is not None:
            content_end = position = nested.start()
        else:
            content_end, position = end_mark, min(len(text), end_mark + 2)
        word = _parse_word(opening[1], opening[2], text[opening.end() : content_end])
        if pending and (word.charset != pending[-1].charset or (between and not between.isspace())):
            pieces.append(_decode_words(pending))
            pending = []
        if between and not (between.isspace() and (pending or pieces)):
            pieces.append(between)
        if word.raw or pending:
            pending.append(word)
    pieces.append(_decode_words(pending))
    pieces.append(text[position:])
    return _CONTROLS.sub(" ", "".join(pieces))


class _EncodedWord(NamedTuple):
    """The bytes of an encoded word.

    `literal` are the bytes if underscores stand for themselves: some encoders do not use them for
    blanks.
    """

    charset: str
    raw: bytes
    literal: bytes


def _parse_word(label: str, kind: str, content: str) -> _EncodedWord:
    charset = label.partition("*")[0].lower()
    coded = content.encode("utf-8")
    if kind in "qQ":
        return _EncodedWord(charset, binascii.a2b_qp(coded, header=True), binascii.a2b_qp(coded))
    # Some encoders pad in the middle: each run up to its padding is a separate unit.
    raw = b"".join(map(decode_base64_run, _BLANKS.sub("", content).encode("utf-8").split(b"=")))
    return _EncodedWord(charset, raw, raw)


def _decode_words(words: Sequence[_EncodedWord]) -> str:
    """Decode adjacent words, which are all in the charset of the last."""
    raw = b"".join(word.raw for word in words)
    if not raw:
        return ""
    charset, literals = words[-1].charset, b"".join(word.literal for word in words)
    decoded = decode_text(raw, charset)
    if decoded.replaced and literals != raw:
        literal = decode_text(literals, charset)
        return literal.text if literal.replaced < decoded.replaced else decoded.text
    return decoded.text


def decode_base64_run(run: bytes) -> bytes:
    """Decode base64 without padding; drop foreign characters and an incomplete last byte.

    >>> decode_base64_run(b"aGk")
    b'hi'
    """
    clean = _NOT_BASE64.sub(b"", run)
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a structured header into its first token, in lower case, and its decoded parameters.

    >>> parse_parameters('text/plain; charset="utf-8"')
    ('text/plain', {'charset': 'utf-8'})
    """
    first = _BLANKS.sub(" ", value[:_LONGEST_STRUCTURED]).lstrip("; ")
    cut = _TOKEN_END.search(first)
    token = first[: cut.start()] if cut is not None else first
    if "=" in token:
        token, rest = "", first
    else:
        rest = first[len(token) :]
    if "=" not in rest:
        return token.lower(), {}
    plain: dict[str, str] = {}
    extended: dict[str, list[tuple[int, bool, str]]] = {}
    for name, raw in _PARAMETER.findall(rest):
        content = _unquoted(raw)
        base, star, section = name.lower().partition("*")
        if star:
            encoded = section.endswith("*") or not section
            number = section.rstrip("*")
            extended.setdefault(base, []).append(
                (int(number) if number.isdigit() else 0, encoded, content)
            )
        else:
            plain.setdefault(base, content)
    parameters = {name: decode_encoded_words(content) for name, content in plain.items()}
    for name, sections in extended.items():
        parameters[name] = _joined_sections(sections) or parameters.get(name, "")
    return token.lower(), parameters


def _unquoted(raw: str) -> str:
    raw = raw.strip()
    if len(raw) > 1 and raw[0] == '"' and raw[-1] == '"':
        return _ESCAPED.sub(r"\1", raw[1:-1]) if "\\" in raw else raw[1:-1]
    return raw.strip("\"'")


def _joined_sections(sections: list[tuple[int, bool, str]]) -> str:
    """Join the numbered sections of RFC 2231 as bytes; the first one may name the charset."""
    charset = None
    raw = b""
    for order, (_, encoded, content) in enumerate(sorted(sections, key=lambda section: section[0])):
        piece = content
        if encoded and order == 0 and (prefix := _EXTENDED.match(content)) is not None:
            charset, piece = prefix[1], content[prefix.end() :]
        raw += unquote_to_bytes(piece) if encoded else piece.encode("utf-8")
    text = decode_text(raw, charset).text
    return _CONTROLS.sub(" ", decode_encoded_words(text))
