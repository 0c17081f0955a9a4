"""Read the ids of mails (RFC 5322, 3.6.4): decoded, unfolded, without comments and brackets."""

from __future__ import annotations

import re

from pipeline.mail.mime.encoded_words import decode_encoded_words

# An id, or a comment outside of ids. Neither begins again inside of what was tried.
_ID_OR_COMMENT = re.compile(r"<([^<>]*+)>|\([^()<>]*+(?:<[^<>()]*+>[^()<>]*+)?+\)")


def read_message_ids(value: str) -> list[str]:
    r"""Return the ids of a header value.

    Programs write ids as encoded words, which RFC 2047 does not allow, and break long ones. An id
    without brackets counts if it is the only word or contains an "@".

    >>> read_message_ids("=?utf-8?q?=3Ca=40example=2Ecom=3E?= (Ann's mail) <b\t@example.com>")
    ['a@example.com', 'b@example.com']
    """
    value = decode_encoded_words(value)
    ids = ["".join(match[1].split()) for match in _ID_OR_COMMENT.finditer(value) if match[1]]
    if any(ids):
        return [name for name in ids if name]
    bare = _ID_OR_COMMENT.sub(" ", value).strip()
    words = bare.replace("<", " ").replace(">", " ").split()
    return words if len(words) == 1 else [word for word in words if "@" in word]
