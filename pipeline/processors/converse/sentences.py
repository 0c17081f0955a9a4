"""Normalizes text for the follow-up rules, and splits it into sentences.

Normalized text is half-width and lower-case, with straight quotes and simplified characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# The traditional characters of the words in the rules; not a converter of Chinese.
_PAIRS = (
    "給给電电話话復复覆复聯联繫系絡络後后內内個个號号週周點点鐘钟時时處处這这禮礼請请煩烦幫帮兩两會会讓让過过"
    "訴诉馬马儘尽盡尽妳你為为與与來来還还沒没無无嗎吗對对說说發发貨货寫写問问題题間间實实單单隨随開开結结關关"
    "員员專专經经應应將将確确認认訊讯饋馈們们謝谢補补換换撥拨訪访報报價价辦办審审賬账帳账並并總总從从務务進进"
    "戶户約约準准備备傳传幾几誰谁東东麼么裡里雙双預预計计檢检運运課课導导領领檔档錄录驗验維维頭头"
)
_MAP = str.maketrans(
    dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True)) | {"’": "'", "‘": "'", "`": "'"}
)
_DOTTED = re.compile(r"\b([ap])\.\s?m\b\.?")
_QUOTED = re.compile(r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|「[^」\n]{1,200}」|『[^』\n]{1,200}』")
_SENTENCE = re.compile(r"[^.!?。;\n]*(?:\.(?=\d)[^.!?。;\n]*)*[.!?。;\n]*")


def normalize(text: str) -> str:
    """Return normalized text: NFKC, case-folded, p.m. as pm, and simplified Chinese characters.

    >>> normalize("I’ll call at ３ p.m.，給您回電話")
    "i'll call at 3 pm,给您回电话"
    """
    return _DOTTED.sub(r"\1m", unicodedata.normalize("NFKC", text).casefold().translate(_MAP))


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of normalized text with their final marks, without quoted text.

    >>> list(sentences('i said "call me". will you reply?'))
    ['i said  .', 'will you reply?']
    """
    for match in _SENTENCE.finditer(_QUOTED.sub(" ", text)):
        if sentence := match[0].strip():
            yield sentence
