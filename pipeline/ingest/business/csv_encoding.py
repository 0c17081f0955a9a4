"""The encoding of a CSV file: UTF-8 or GB 18030 where the bytes prove it, else the user is asked.

A wrong charset turns one language into another without an error: names in EUC-KR are valid GB 18030
and read as Chinese. A file in any other encoding is therefore refused with the option to write.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from pipeline.ingest.byte_streams import CHUNK
from pipeline.ingest.port import OptionError
from pipeline.mail.charset import decode_text
from pipeline.mail.charset_tables import FREQUENT_CHARACTERS, FREQUENT_CHINESE
from schemas.dead_letters import RejectCode

# The hundred most frequent family names cover 85 of 100 people in China (Ministry of Public
# Security, report on names of 2020); a column of names has few other frequent characters.
_FAMILY_NAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪"
    "廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔欧阳"
)
_CHINESE = FREQUENT_CHINESE | frozenset(_FAMILY_NAMES)
_KOREAN = FREQUENT_CHARACTERS["cp949"]
# One character in four of a real text, or of a column of names of three characters, is frequent; in
# the wrong charset one in twenty is (see `charset_evidence.py`).
_FREQUENT_SHARE = 0.25
# Measured on names and terms of shops: with this lead over Korean, and three characters, no group
# of words in EUC-KR passes, and all in GBK do; without them one word in twenty passes.
_MARGIN, _FEWEST = 0.3, 3
# One bad byte among twenty characters is damage; more are another encoding.
_FEW_BAD_BYTES = 0.05
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_WIDE = ("utf-16", "utf-16-le", "utf-16-be")
# The option to write for a charset that the detector of mail answers.
_OPTIONS = {
    "big5": "big5",
    "windows-31j": "cp932",
    "shift_jis": "cp932",
    "euc-jp": "euc-jp",
    "euc-kr": "cp949",
}


class CsvFileError(ValueError):
    """The file cannot be read at all because of its encoding or its header."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_encoding(name: str) -> str:
    """Return the codec of an encoding; UTF-16 is one of `is_wide`.

    Raises OptionError for one that does not exist, or that is neither UTF-16 nor a superset of
    ASCII.

    >>> check_encoding("GBK")
    'gbk'
    """
    try:
        codec = codecs.lookup(name)
        if codec.name in _WIDE:
            return codec.name
        plain = b'",;\t\r\nAz09'
        is_superset = plain.decode(codec.name) == plain.decode("ascii")
    except (LookupError, UnicodeError):
        raise OptionError(
            f"encoding {name!r} is unknown; use one such as utf-8, gb18030, big5, cp1252"
        ) from None
    if not is_superset:
        raise OptionError(f"encoding {name!r} cannot be read line by line; save the file as UTF-8")
    return "utf-8" if codec.name == "utf-8-sig" else codec.name


def is_wide(codec: str) -> bool:
    """Return whether a codec has two bytes for a line end; see `as_utf8`."""
    return codec in _WIDE


def as_utf8(stream: BinaryIO, codec: str) -> BinaryIO:
    """Return a stream of UTF-16 as one of UTF-8; memory is one chunk.

    Half a character becomes bytes that are not UTF-8, so that its row alone is refused.
    """
    return cast(BinaryIO, io.BufferedReader(_Transcoded(stream, codec), CHUNK))


class _Transcoded(io.RawIOBase):
    def __init__(self, beneath: BinaryIO, codec: str) -> None:
        super().__init__()
        self._ahead = b""
        self._pieces = self._transcode(beneath, codec)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ahead:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._ahead = piece
        size = min(len(buffer), len(self._ahead))
        buffer[:size], self._ahead = self._ahead[:size], self._ahead[size:]
        return size

    @staticmethod
    def _transcode(beneath: BinaryIO, codec: str) -> Iterator[bytes]:
        # Half a surrogate pair is written as the three bytes that UTF-8 forbids.
        decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
        while piece := beneath.read(CHUNK):
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        try:
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            yield b"\xff"


def guess_codec(head: bytes, is_header: Callable[[str], bool]) -> str:
    """Return utf-8 or gb18030 for the first lines of a file.

    `is_header` says whether a text has column names that are not ASCII. Raises CsvFileError with
    the option to write for any other encoding.
    """
    for mark, codec in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            raise CsvFileError(
                RejectCode.CHARSET,
                "the file is UTF-16 (Excel's Unicode text); save it as CSV UTF-8, or read it with"
                f" --option encoding={codec}",
            )
    if is_utf8(head):
        return "utf-8"
    detected = decode_text(head, None)
    # A few bad bytes refuse their rows alone.
    if detected.charset_used == "utf-8":
        return "utf-8"
    if is_gb18030(head, _FEW_BAD_BYTES) or is_header(head.decode("gb18030", "replace")):
        return "gb18030"
    raise CsvFileError(RejectCode.CHARSET, f"the file is {_question(head, detected.charset_used)}")


def _question(raw: bytes, detected: str) -> str:
    likely = _OPTIONS.get(detected, detected.replace("windows-", "cp"))
    if _share(raw, "cp949", _KOREAN) >= _FREQUENT_SHARE:
        likely = "cp949"
    guess = "" if likely == "gb18030" else f"perhaps {likely}; "
    return (
        f"neither UTF-8 nor certainly GB18030 ({guess}the bytes do not decide it); save it as CSV"
        f" UTF-8, or name its encoding: --option encoding=gb18030, big5, cp932, cp949, cp1251,"
        " cp1252 …"
    )


def is_utf8(raw: bytes) -> bool:
    """Return whether bytes are UTF-8; the last character may be cut."""
    return _decodes(raw, "utf-8")


def is_gb18030(raw: bytes, bad: float = 0) -> bool:
    """Return whether bytes are certainly Chinese in GB 18030: frequent characters prove it.

    `bad` is the share of bad bytes among the characters beyond ASCII that may be damage.

    >>> is_gb18030("王小姐".encode("gbk")), is_gb18030("홍길동".encode("cp949"))
    (True, False)
    """
    beyond_ascii = [char for char in raw.decode("gb18030", "replace") if char > "\x7f"]
    # The last character may be cut.
    damaged = beyond_ascii[:-1].count("\ufffd")
    if len(beyond_ascii) < _FEWEST or damaged > bad * len(beyond_ascii):
        return False
    chinese = sum(map(_CHINESE.__contains__, beyond_ascii)) / len(beyond_ascii)
    return chinese >= _FREQUENT_SHARE and chinese > _share(raw, "cp949", _KOREAN) + _MARGIN


def _share(raw: bytes, codec: str, common: frozenset[str]) -> float:
    text = raw.decode(codec, "replace")
    beyond_ascii = [char for char in text if char > "\x7f"]
    return sum(map(common.__contains__, beyond_ascii)) / max(1, len(beyond_ascii))


def _decodes(head: bytes, codec: str) -> bool:
    try:
        # Incremental, because the head may end inside a character.
        codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return False
    return True
