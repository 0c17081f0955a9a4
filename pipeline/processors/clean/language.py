"""Detect the language of a short business text: by script, else by a statistical model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipeline.text.scripts import HAN

# Languages of business mail; the fewer candidates, the better the result for short texts. Malay is
# left out: the model takes a third of it for Indonesian, and one in ten Indonesian texts for Malay.
_LATIN = {
    *(
        "en",
        "de",
        "fr",
        "es",
        "pt",
        "it",
        "nl",
        "pl",
        "tr",
        "vi",
        "id",
        "sv",
        "da",
        "no",
        "fi",
        "cs",
        "sk",
        "hu",
        "ro",
    ),
    *("hr", "sl", "lt", "lv", "et", "ca", "tl"),
}
_CYRILLIC = {"ru", "uk", "bg", "sr", "mk", "be", "kk"}

# Text that says nothing about the language: addresses, code, names of files and machines, codes
# with digits.
_NOISE = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'，。"
    r"）)]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|```.*?```|`[^`\n]{1,200}`|</?[a-zA-Z][^<>]{0,200}>"
    r"|[A-Za-z_-]*\d[\w./\\-]*|\w+\.(?:com|net|org|cn|io|pdf|docx?|xlsx?|png|jpe?g|zip)\b"
    # No word has a hundred letters. Such a run is taken as a whole, and not tried at each of them.
    r"|[\w.+-]{100,}+",
    re.DOTALL | re.ASCII,
)
_MAY_BE_NOISE = re.compile(r"[@/<`0-9]|\w\.\w", re.ASCII)
_LETTERS = re.compile(r"[^\W\d_]+")

# The letters of a typical word in each script: a Chinese word has 1.5 characters, an English one 5
# letters.
_SCRIPTS: dict[str, tuple[re.Pattern[str], float]] = {
    "han": (re.compile(f"[{HAN}]+"), 1.5),
    "kana": (re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]+"), 2.5),
    "hangul": (re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]+"), 2.5),
    "cyrillic": (re.compile("[\u0400-\u052f]+"), 5),
    "arabic": (
        re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc]+"),
        4,
    ),
    "he": (re.compile("[\u05d0-\u05ea]+"), 4),
    "el": (re.compile("[\u0370-\u03ff\u1f00-\u1fff]+"), 5),
    "th": (re.compile("[\u0e01-\u0e5b]+"), 4),
    "hi": (re.compile("[\u0900-\u097f]+"), 4),
    "bn": (re.compile("[\u0980-\u09ff]+"), 4),
    "pa": (re.compile("[\u0a00-\u0a7f]+"), 4),
    "gu": (re.compile("[\u0a80-\u0aff]+"), 4),
    "ta": (re.compile("[\u0b80-\u0bff]+"), 4),
    "te": (re.compile("[\u0c00-\u0c7f]+"), 4),
    "kn": (re.compile("[\u0c80-\u0cff]+"), 4),
    "ml": (re.compile("[\u0d00-\u0d7f]+"), 4),
    "si": (re.compile("[\u0d80-\u0dff]+"), 4),
    "lo": (re.compile("[\u0e81-\u0edf]+"), 4),
    "my": (re.compile("[\u1000-\u109f]+"), 4),
    "km": (re.compile("[\u1780-\u17ff]+"), 4),
    "ka": (re.compile("[\u10a0-\u10ff]+"), 5),
    "hy": (re.compile("[\u0530-\u058f]+"), 5),
    "am": (re.compile("[\u1200-\u137f]+"), 3),
}
# Most non-ASCII texts are Chinese: this pattern finds whether any other script must be counted at
# all.
_NOT_ONLY_HAN = re.compile(f"[^\x00-\x7f\u2010-\u2027\u3000-\u303f\uff00-\uff65\uffe0-\uffee{HAN}]")
_HAN = {"han": _SCRIPTS["han"]}
# Kana are half of Japanese text, a tenth in a title of terms. A few occur in Chinese text too: a
# quoted name, or の in place of 的.
_MIN_KANA_SHARE, _CLEAR_KANA_SHARE = 0.08, 0.3

# Letters that only some languages of a script use, the rarest first; one letter in forty is enough.
_CountLetters = Callable[[str], int]


def _count_any(letters: str) -> _CountLetters:
    pattern = re.compile(f"[{letters}]")
    return lambda text: len(pattern.findall(text))


def _count_belarusian(text: str) -> int:
    """Count ў, and і, ы, э where one of the other kind follows: no other language has both.

    >>> _count_belarusian("ўіы")
    2
    """
    last_i, last_y = max(0, text.rfind("і")), max(0, text.rfind("ы"), text.rfind("э"))
    mixed = text.count("і", 0, last_y) + text.count("ы", 0, last_i) + text.count("э", 0, last_i)
    return text.count("ў") + mixed


_CYRILLIC_LETTERS: tuple[tuple[str, _CountLetters], ...] = (
    ("kk", _count_any("әғқңөұүһ")),
    ("be", _count_belarusian),
    ("uk", _count_any("їєґі")),
    ("mk", _count_any("ѓќѕ")),
    ("sr", _count_any("ђћ")),
    ("ru", _count_any("ыэё")),
)
_SOUTH_SLAVIC = re.compile("[љњџј]")
_SOUTH_SLAVIC_LANGUAGES = {"sr", "mk"}
_ARABIC_LETTERS = (("ur", _count_any("ٹڈڑںےۓہھ")), ("fa", _count_any("پچژگیک")))
_OWN_LETTER_SHARE = 40

# Only the beginning is used: texts that change their language later are rare, and the result does
# not depend on the length.
_MAX_CHARACTERS = 2_000

# The part for the model: its answer is stable after two or three sentences, and each byte costs
# time.
_MAX_MODEL_CHARACTERS = 400

# Below this probability the model guesses ("lol" is Hungarian with 0.09): no answer is better.
# Right answers on single words have 0.3 to 0.6, on sentences 0.8 and more.
_MIN_PROBABILITY = 0.25
# Short business words without letters of another language are English if the model gives English at
# least half the probability of its best answer. Above `_CONFIDENT` the best answer is kept.
_ENGLISH_PRIOR, _CONFIDENT = 2.0, 0.5

# Words that make up most of the shortest messages, which have too few letters for the model.
_SHORT_MESSAGES = {
    "en": (
        "hello hi hey thanks thank thx you please yes sorry good morning evening help order status"
        " invoice refund price shipping delivery payment account cancel where when what how why who"
        " the is my me we i u it to of and for not can could do does any this that your are was"
        " have has need want call back done great nice bye regards dear sir madam"
    ),
    "de": (
        "hallo danke bitte guten tag morgen nein rechnung bestellung ich nicht und wann wo hilfe ja"
        " grüße"
    ),
    "fr": "bonjour merci salut oui non facture commande bonsoir svp",
    "es": "hola gracias buenos buenas días tardes factura pedido",
    "pt": "olá obrigado obrigada fatura encomenda",
    "it": "ciao grazie buongiorno fattura",
    "nl": "bedankt dank goedemorgen factuur bestelling",
}
_LANGUAGE_BY_WORD = {
    word: code for code, words in _SHORT_MESSAGES.items() for word in words.split()
}
_SHORT_WORDS = 7


@dataclass(frozen=True, slots=True)
class Language:
    """An ISO 639-1 code with a confidence from 0 to 1, or "" and 0 where it is unknown."""

    code: str
    confidence: float


NO_LANGUAGE = Language("", 0.0)


def detect_language(text: str) -> Language:
    """Return the language of most of a text; pure and deterministic.

    Addresses, codes, file names and numbers are ignored; fewer than two letters give no answer. The
    script decides first (Chinese characters without kana are "zh", traditional or simplified). For
    the Latin and Cyrillic scripts a model (py3langid) chooses from a fixed list. The confidence is
    the share of the script times the probability of the model.

    >>> detect_language("请问什么时候发货？").code
    'zh'
    """
    text = text[:_MAX_CHARACTERS]
    if _MAY_BE_NOISE.search(text) is not None:
        text = _NOISE.sub(" ", text)
    letters = sum(map(len, _LETTERS.findall(text)))
    if letters < 2:
        return NO_LANGUAGE
    if text.isascii():
        return _latin_language(text, 1.0)
    # Which scripts there are, each character shows once; only those are counted.
    characters = "".join(set(text))
    weights = {
        name: sum(map(len, pattern.findall(text))) / per_word
        for name, (pattern, per_word) in (
            _SCRIPTS if _NOT_ONLY_HAN.search(characters) else _HAN
        ).items()
        if pattern.search(characters) is not None
    }
    others = sum(weight * _SCRIPTS[name][1] for name, weight in weights.items())
    latin = (letters - others) / _LATIN_LETTERS_PER_WORD
    if latin > 0:
        weights["latin"] = latin
    if "kana" in weights:
        _resolve_japanese(weights, text)
    if not weights:
        return NO_LANGUAGE
    script = max(weights, key=lambda name: weights[name])
    return _language_of_script(script, text, weights[script] / sum(weights.values()))


_LATIN_LETTERS_PER_WORD = 5


def _resolve_japanese(weights: dict[str, float], text: str) -> None:
    """Count Chinese characters as Japanese where kana are next to them, else kana as Chinese."""
    kana = weights.pop("kana")
    han = weights.pop("han", 0.0)
    kana_letters, han_letters = kana * _SCRIPTS["kana"][1], han * _SCRIPTS["han"][1]
    share = kana_letters / (kana_letters + han_letters)
    is_japanese = share > _CLEAR_KANA_SHARE or (
        share > _MIN_KANA_SHARE and _has_only_japanese_characters(text)
    )
    weights["ja" if is_japanese else "han"] = kana + han


def _has_only_japanese_characters(text: str) -> bool:
    """Return whether all Chinese characters are in cp932, which lacks the simplified ones."""
    try:
        "".join(_SCRIPTS["han"][0].findall(text)).encode("cp932")
    except UnicodeEncodeError:
        return False
    return True


def _language_of_script(script: str, text: str, share: float) -> Language:
    if script == "latin":
        return _latin_language(text, share)
    if script == "cyrillic":
        own = _language_by_letters(text.lower(), _CYRILLIC_LETTERS)
        group = "south slavic" if _SOUTH_SLAVIC.search(text) else "cyrillic"
        return Language(own, round(share, 3)) if own else _language_by_model(text, group, share)
    if script == "arabic":
        return Language(_language_by_letters(text, _ARABIC_LETTERS) or "ar", round(share, 3))
    return Language({"han": "zh", "hangul": "ko"}.get(script, script), round(share, 3))


def _language_by_letters(text: str, rows: tuple[tuple[str, _CountLetters], ...]) -> str:
    for code, count_letters in rows:
        count = count_letters(text)
        if count and count * _OWN_LETTER_SHARE >= len(text):
            return code
    return ""


def _latin_language(text: str, share: float) -> Language:
    words = [word.lower() for word in _LETTERS.findall(text)[:_SHORT_WORDS]]
    codes = [code for code in map(_LANGUAGE_BY_WORD.get, words) if code]
    common = max(dict.fromkeys(codes), key=codes.count) if codes else ""
    agreement = codes.count(common) / len(words) if codes else 0.0
    if agreement > 0.5 and len(words) < _SHORT_WORDS:
        return Language(common, round(share * agreement, 3))
    detected = _language_by_model(text, "latin", share)
    return (
        detected if detected.code or not common else Language(common, round(share * agreement, 3))
    )


def _language_by_model(text: str, group: str, share: float) -> Language:
    identifier = _identifiers()[group]
    text = text[:_MAX_MODEL_CHARACTERS]
    code, probability = identifier.classify(text)
    if probability < _CONFIDENT and code != "en":
        english = dict(identifier.rank(text)).get("en", 0.0)
        if english * _ENGLISH_PRIOR > probability:
            code = "en"
    if probability < _MIN_PROBABILITY:
        return NO_LANGUAGE
    return Language(code, round(float(probability) * share, 3))


@cache
def _identifiers() -> dict[str, LanguageIdentifier]:
    """Load the model once per process (two seconds, 100 MB); split it by groups of languages."""
    full = LanguageIdentifier.from_model_file(MODEL_FILE)
    return {
        "latin": _restrict_to(full, _LATIN),
        "cyrillic": _restrict_to(full, _CYRILLIC),
        "south slavic": _restrict_to(full, _SOUTH_SLAVIC_LANGUAGES),
    }


def _restrict_to(full: LanguageIdentifier, languages: set[str]) -> LanguageIdentifier:
    columns = [column for column, code in enumerate(full.nb_classes) if code in languages]
    # Contiguous rows, in the type that scores are summed in: twice as fast as the layout of the
    # model.
    weights = np.ascontiguousarray(full.nb_ptc[:, columns], dtype=np.float32)
    classes = [full.nb_classes[column] for column in columns]
    return LanguageIdentifier(
        weights,
        full.nb_pc[columns],
        classes,
        full.tk_nextmove,
        full.tk_output,
        norm_probs=True,
        tk_row=full.tk_row,
    )
