"""Fingerprints to compare texts: a hash finds equal texts, a SimHash nearly equal ones.

SimHash: M. Charikar, Similarity estimation techniques from rounding algorithms, 2002; 64 bits.
Shingles are two Chinese characters or four Latin letters.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.text.nfkc import nfkc

# As much as the models read of a text.
_READ_CHARS = 2_000
# People repeat texts below six Chinese or twelve Latin letters all day (好的, ok, thanks, 在吗);
# those are no duplicates. Below twice that, one changed word changes most shingles, so that the
# SimHash says nothing.
_MIN_WEIGHT, _MIN_WEIGHT_NEAR = 12, 24

_NOT_WORDS = re.compile(r"[\W_]+")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

# A text that only says thanks, ok or goodbye asks for nothing: the customer does not wait, and a
# closed conversation stays closed.
_COURTESIES = (
    "ok okay okey k kk thanks thankyou thankyouverymuch thankyousomuch manythanks thx ty tks"
    " thanksalot thanksagain thankssomuch great okthanks okthankyou okaythanks gotit noted"
    " understood perfect cheers yes yep yeah sure fine goodbye bye thanksbye cool welcome thatsall"
    " allgood nice wonderful awesome greatthanks perfectthanks nothanks noproblem 好 好的 好吧 好呀"
    " 好啊 好哒 好滴 嗯 嗯嗯 恩 哦 哦哦 行 行吧 可以 谢谢 谢谢您 谢谢你 谢了 多谢 感谢 非常感谢"
    " 好的谢谢 好谢谢 嗯谢谢 好的谢谢您 好的谢谢你 收到 收到谢谢 知道了 明白 明白了 了解 没事了"
    " 没问题 再见 拜拜 辛苦了 好的辛苦了 麻烦了 不客气 好的收到 好的明白 謝謝 謝謝您 謝謝你 多謝"
    " 感謝 好的謝謝 收到謝謝 麻煩了 瞭解 沒問題 好的收到謝謝 唔該 谢谢再见 ok谢谢 ok好的 ok的 嗯好"
    " 嗯好的 嗯嗯好的"
)
_COURTESY = frozenset(_COURTESIES.split())


def words_of(text: str) -> str:
    """Return the letters and digits of a text, NFKC, case-folded.

    >>> words_of("OK, thanks!")
    'okthanks'
    """
    text = text[:_READ_CHARS]
    return _NOT_WORDS.sub("", (text if text.isascii() else nfkc(text)).casefold())


def is_courtesy(words: str, has_text: bool) -> bool:
    """Return whether a text is only a courtesy.

    A text without words (👍) is one, an empty text (a picture) is not.

    >>> is_courtesy("okthanks", has_text=True), is_courtesy("", has_text=False)
    (True, False)
    """
    return words in _COURTESY if words else has_text


def weight(words: str) -> int:
    """Return the length of words; a Chinese, Japanese or Korean character counts twice.

    >>> weight("ok好的")
    6
    """
    return len(words) if words.isascii() else len(words) + len(_WIDE.findall(words))


def hash63(data: bytes) -> int:
    """Return 63 bits of BLAKE2b, which fit a signed 64-bit integer everywhere."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1


def fingerprints(words: str) -> tuple[int, int]:
    """Return the hash and the SimHash of a text's words.

    Either is 0 if the text is too short to be compared by it.
    """
    text_weight = weight(words)
    if text_weight < _MIN_WEIGHT:
        return 0, 0
    return hash63(words.encode("utf-8", "surrogatepass")) | 1, (
        simhash(words) if text_weight >= _MIN_WEIGHT_NEAR else 0
    )


def simhash(words: str) -> int:
    """Return the 64-bit SimHash over a text's shingles."""
    return int(_simhash(np.frombuffer(words.encode("utf-32-le", "surrogatepass"), np.uint32)))


# Odd multipliers of xxHash64 (https://github.com/Cyan4973/xxHash) and the last step of
# MurmurHash3's finalizer.
_ODD_1, _ODD_2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_MIX, _SHIFT, _ONE = np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33), np.uint64(1)
# The first code point of the scripts of East Asia: two of their characters say about as much as
# four Latin letters.
_FIRST_WIDE = np.uint32(0x2E80)


@compiled
def _simhash(characters: npt.NDArray[np.uint32]) -> np.uint64:
    ones = np.zeros(64, dtype=np.int64)
    count = len(characters)
    for place in range(count):
        mixed = np.uint64(0)
        for step in range(2 if characters[place] >= _FIRST_WIDE else 4):
            if place + step < count:
                mixed = (mixed + np.uint64(characters[place + step])) * _ODD_1
        mixed *= _ODD_2
        mixed ^= mixed >> _SHIFT
        mixed *= _MIX
        mixed ^= mixed >> _SHIFT
        for bit in range(64):
            ones[bit] += np.int64((mixed >> np.uint64(bit)) & _ONE)
    result = np.uint64(0)
    for bit in range(64):
        if ones[bit] * 2 > count:
            result |= _ONE << np.uint64(bit)
    return result
