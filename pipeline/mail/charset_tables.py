"""Tables of `charset`: labels, the codecs to try for each, and frequent characters."""

from __future__ import annotations

from dataclasses import dataclass
from encodings.aliases import aliases as _python_aliases


@dataclass(frozen=True, slots=True)
class Charset:
    """A charset: its name for records, the Python codecs to try in order, and its family."""

    name: str
    codecs: tuple[str, ...]
    family: str


# The family says how far a label can be trusted. "latin" is what software writes by default, so
# other bytes often carry it. "unicode" is proved by strict decoding. A "cjk" label is nearly always
# the author's real choice, only too narrow (gb2312 over gbk bytes, iso-2022-jp over NEC's symbols).
# "stateful" charsets consist of 7-bit bytes.
_FAMILIES: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "ascii": {
        "us-ascii": (
            (),
            (
                "us-ascii ascii ansi-x3.4-1968 ansi-x3.110-1983 iso646-us 646 cp367 ibm367 7bit"
                " 7-bit 8bit"
            ),
        ),
    },
    "unicode": {
        "utf-8": (
            ("utf_8",),
            (
                "utf-8 utf8 u8 utf utf-8-sig utf8mb4 utf-8mb4 unicode-1-1-utf-8 cp65001 x-utf-8"
                " utf-8-mac"
            ),
        ),
    },
    "wide": {
        "utf-16": (
            ("utf_16",),
            "utf-16 utf16 ucs-2 ucs2 iso-10646-ucs-2 unicode csunicode unicodefffe",
        ),
        "utf-16le": (("utf_16_le",), "utf-16le utf16le ucs-2le unicodelittle"),
        "utf-16be": (("utf_16_be",), "utf-16be utf16be ucs-2be unicodebig"),
        "utf-32": (("utf_32",), "utf-32 utf32 ucs-4 iso-10646-ucs-4"),
        "utf-32le": (("utf_32_le",), "utf-32le"),
        "utf-32be": (("utf_32_be",), "utf-32be"),
    },
    "stateful": {
        "utf-7": (("utf_7",), "utf-7 utf7 unicode-1-1-utf-7 csunicode11utf7 x-unicode-2-0-utf-7"),
        "hz-gb-2312": (("hz",), "hz-gb-2312 hz hzgb hz-gb"),
        "iso-2022-kr": (("iso2022_kr",), "iso-2022-kr csiso2022kr"),
        "iso-2022-jp": (
            ("iso2022_jp_ext", "iso2022_jp_2004", "iso2022_jp_3"),
            (
                "iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-2004"
                " iso-2022-jp-ext iso-2022-jp-ms cp50220 cp50221 cp50222 -iso-2022-jp$esc jis"
            ),
        ),
    },
    "cjk": {
        "gb18030": (
            ("gb18030",),
            (
                "gb18030 gb2312 gbk x-gbk gb-2312 gb2312-80 gb-2312-80 x-gb2312 x-gb18030"
                " gb18030-2000 gb18030-2022 csgb2312 csiso58gb231280 iso-ir-58 chinese cn-gb"
                " cn-gb-12345 euc-cn euccn x-euc-cn cp936 ms936 windows-936 x-mac-chinesesimp"
                " gb2312-charset gbk2312 gb"
            ),
        ),
        # Hong Kong's extension is the widest superset; Microsoft's differs in some private
        # characters.
        "big5": (
            ("big5hkscs", "cp950", "big5"),
            (
                "big5 big-5 big5-hkscs big5hkscs cn-big5 csbig5 x-x-big5 x-big5 chinesebig5 cp950"
                " ms950 windows-950 big5-eten big5-tw x-windows-950 hkscs x-mac-chinesetrad"
            ),
        ),
        "shift_jis": (
            ("shift_jis", "cp932", "shift_jis_2004"),
            "shift-jis shiftjis sjis s-jis x-sjis ms-kanji csshiftjis x-sjis-cp932",
        ),
        "windows-31j": (
            ("cp932", "shift_jis_2004"),
            "windows-31j cp932 ms932 windows-932 cswindows31j mskanji",
        ),
        "shift_jisx0213": (
            ("shift_jis_2004", "cp932"),
            "shift-jisx0213 sjisx0213 shift-jis-2004 sjis-2004",
        ),
        "euc-jp": (
            ("euc_jp", "euc_jis_2004"),
            (
                "euc-jp eucjp x-euc-jp x-euc ujis cp51932 eucjp-ms euc-jp-ms eucjp-win"
                " cseucpkdfmtjapanese euc-jisx0213 euc-jis-2004 eucjisx0213"
            ),
        ),
        # Only euc_kr knows the eight-byte way to write rare syllables; only cp949 has all 11,172 of
        # them.
        "euc-kr": (
            ("euc_kr", "cp949"),
            (
                "euc-kr euckr cseuckr ks-c-5601 ks-c-5601-1987 ks-c-5601-1989 ksc5601 ksc-5601"
                " ks-x-1001 ks-c5601 korean cp949 ms949 windows-949 uhc iso-ir-149 csksc56011987"
                " x-windows-949 5601"
            ),
        ),
        "johab": (("johab",), "johab cp1361 ms1361 x-johab"),
    },
    # As in the WHATWG encoding standard, these ISO charsets are decoded as their Windows supersets.
    "latin": {
        "windows-1252": (
            ("cp1252",),
            (
                "windows-1252 cp1252 x-cp1252 cp-1252 1252 ansi iso-8859-1 iso8859-1 iso88591"
                " iso-8859-1-windows-3.1-latin-1 latin-1 latin1 l1 cp819 ibm819 iso-ir-100"
                " csisolatin1 iso-latin-1 8859-1 x-ansi iso"
            ),
        ),
        "windows-1254": (
            ("cp1254",),
            "windows-1254 cp1254 iso-8859-9 iso8859-9 iso88599 latin5 latin-5 l5 csisolatin5",
        ),
        "iso-8859-15": (
            ("iso8859_15",),
            "iso-8859-15 iso8859-15 iso885915 latin-9 latin9 l9 csisolatin9 8859-15",
        ),
    },
    "single": {
        "windows-874": (
            ("cp874",),
            "windows-874 cp874 tis-620 tis620 iso-8859-11 iso8859-11 thai dos-874",
        ),
        "windows-1250": (("cp1250",), "windows-1250 cp1250 x-cp1250 cp-1250"),
        "windows-1251": (("cp1251",), "windows-1251 cp1251 x-cp1251 cp-1251 win-1251 win1251 1251"),
        "windows-1253": (("cp1253",), "windows-1253 cp1253"),
        "windows-1255": (("cp1255",), "windows-1255 cp1255"),
        "windows-1256": (("cp1256",), "windows-1256 cp1256"),
        "windows-1257": (("cp1257",), "windows-1257 cp1257"),
        "windows-1258": (("cp1258",), "windows-1258 cp1258"),
        "iso-8859-2": (
            ("iso8859_2",),
            "iso-8859-2 iso8859-2 iso88592 latin2 latin-2 l2 csisolatin2",
        ),
        "iso-8859-7": (
            ("iso8859_7", "cp1253"),
            "iso-8859-7 iso8859-7 greek greek8 elot-928 csisolatingreek",
        ),
        "iso-8859-8": (
            ("iso8859_8", "cp1255"),
            "iso-8859-8 iso-8859-8-i iso-8859-8-e hebrew logical visual",
        ),
        "koi8-r": (("koi8_r",), "koi8-r koi8 koi cskoi8r koi-8-r"),
        "koi8-u": (("koi8_u",), "koi8-u koi8-ru"),
        "macintosh": (("mac_roman",), "macintosh mac x-mac-roman macroman x-macroman"),
        "x-mac-cyrillic": (("mac_cyrillic",), "x-mac-cyrillic x-mac-ukrainian maccyrillic"),
        "ibm866": (("cp866",), "ibm866 cp866 866 csibm866"),
    },
}

# Codecs of Python that are not charsets, and EBCDIC: an ASCII mail with such a label by mistake
# would turn into noise.
_NOT_FOR_MAIL = {
    *(
        "mbcs",
        "oem",
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
    ),
    *(
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "utf_7",
        "hp_roman8",
    ),
    *("cp037", "cp1026", "cp1140", "cp273", "cp424", "cp500"),
}


def _charsets() -> dict[str, Charset]:
    known: dict[str, Charset] = {}
    for family, members in _FAMILIES.items():
        for name, (codecs, labels) in members.items():
            charset = Charset(name, codecs, family)
            known |= dict.fromkeys(labels.split(), charset)
    for alias, codec in _python_aliases.items():
        if codec not in _NOT_FOR_MAIL:
            for label in (alias.replace("_", "-"), codec.replace("_", "-")):
                known.setdefault(label, Charset(codec.replace("_", "-"), (codec,), "single"))
    return known


CHARSETS: dict[str, Charset] = _charsets()
"""Label, in lower case with `-` for `_`, to charset.

A fixed table, because Python's codec registry caches every name it is asked for, hostile ones too.
"""

# Charsets that chardet may answer with: those that mail programs write. With its full list of 80 it
# returns DOS and Macintosh charsets for short Western texts.
DETECTABLE_CHARSETS = [
    "utf-8",
    "gb18030",
    "big5hkscs",
    "cp949",
    "cp932",
    "euc-jp",
    "koi8-r",
    "koi8-u",
    "cp866",
    "windows-874",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-15",
]

# Where most letters are ASCII the alphabet is Latin. With only these candidates chardet is right on
# single sentences.
DETECTABLE_LATIN_CHARSETS = ["windows-1252", "windows-1250", "windows-1254", "windows-1257"]

_PUNCTUATION = "，。！？、：；“”（）《》【】「」・ー～"

# The most frequent characters of running text. Some 330 make up two thirds of any Chinese text; in
# a text decoded with the wrong charset they are one character in twenty.
_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成"
    "方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工"
    "使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表"
    "化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结"
    "反受目太量再感建务做接必场件计管期市直资命山金统区保至形社便空决治展科司五基书非则听界达光放强即像难且权思完式色路记品"
    "住告类求据程北边张该交规万取拉望术领共确传师观切院让识候带导争运您请谢购价格货订单票款客服退换快递询费快买卖"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成"
    "方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工"
    "使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表"
    "化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結"
    "反受目太量再感建務做接必場件計管期市直資命山金統區保至形社便空決治展科司五基書非則聽界達光放強即像難且權思完式色路記品"
    "住告類求據程北邊張該交規萬取拉望術領共確傳師觀切院讓識候帶導爭運您請謝購價格貨訂單票款客服退換快遞詢費買賣"
)
_KANA = "".join(map(chr, range(0x3041, 0x3097))) + "".join(map(chr, range(0x30A1, 0x30FB)))
_JAPANESE = (
    _KANA
    + "日本人年月大国会中出時行見言思分気間今事者方前後上下自手学生"
    + "社会様社長電話番号送信返事件名宛先願致申"
)
_KOREAN = (
    "이다는의에을를가고하은지사로도한서어기인나자해그대수리시아있들라일부정안"
    "요니만보제스으면게마과여전주습원장조성공동상구우경"
    "소비내화오선무미신문와계물관거국생당중실회적세저분없것때같모간학개방용발"
    "위식더입품재연진통소드려년감합았었했네까님세요월확인"
)

FREQUENT_CHARACTERS: dict[str, frozenset[str]] = {
    "gb18030": frozenset(_SIMPLIFIED + _PUNCTUATION),
    "big5hkscs": frozenset(_TRADITIONAL + _PUNCTUATION),
    "cp932": frozenset(_JAPANESE + _PUNCTUATION),
    "euc_jp": frozenset(_JAPANESE + _PUNCTUATION),
    "cp949": frozenset(_KOREAN),
}
"""Codec to the frequent characters of its language; ties go to the earlier codec."""

FREQUENT_CHINESE = FREQUENT_CHARACTERS["gb18030"] | FREQUENT_CHARACTERS["big5hkscs"]

CODEC_CHARSETS: dict[str, Charset] = {
    "gb18030": CHARSETS["gb18030"],
    "big5hkscs": CHARSETS["big5"],
    "cp932": CHARSETS["windows-31j"],
    "euc_jp": CHARSETS["euc-jp"],
    "cp949": CHARSETS["euc-kr"],
}
