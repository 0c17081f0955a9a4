"""Recognise plain parts that only say that the mail is HTML."""

from __future__ import annotations

import re

# Longer than any such notice, shorter than most letters.
_LONGEST_STUB = 400

_NOTICE = re.compile(
    r"\bhtml\b|\bbrowser\b|mail (?:client|reader|program)|\bview (?:this|the)"
    r" (?:e-?mail|message)|网页|瀏覽器|浏览器|超文本"
    r"|不支持.{0,8}(?:格式|邮件)|无法(?:正常)?(?:显示|查看)|無法(?:正常)?(?:顯示|檢視)",
    re.IGNORECASE,
)


def is_html_stub(text: str) -> bool:
    """Return whether a plain part is blank or only sends its reader to the HTML part.

    >>> is_html_stub("Your mail client does not support HTML.")
    True
    """
    visible = text.strip()
    return not any(map(str.isalnum, visible)) or (
        len(visible) < _LONGEST_STUB and _NOTICE.search(visible) is not None
    )
