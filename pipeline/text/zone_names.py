"""Abbreviations of time zones as people and mailers write them."""

from __future__ import annotations

# The zones of RFC 822, and abbreviations with one meaning among mailers; IST has three. Minutes
# east of UTC.
ZONE_MINUTES = {
    **dict.fromkeys(("Z", "UT", "UTC", "GMT", "WET"), 0),
    **dict.fromkeys(("BST", "WEST", "CET", "MEZ", "MET", "WAT"), 60),
    **dict.fromkeys(("CEST", "MESZ", "MEST", "EET", "SAST", "CAT"), 120),
    **dict.fromkeys(("EEST", "MSK", "EAT", "TRT"), 180),
    "PKT": 300,
    "NPT": 345,
    "ICT": 420,
    "WIB": 420,
    **dict.fromkeys(("HKT", "SGT", "AWST", "MYT", "PHT"), 480),
    **dict.fromkeys(("JST", "KST"), 540),
    "ACST": 570,
    "ACDT": 630,
    "AEST": 600,
    "AEDT": 660,
    "NZST": 720,
    "NZDT": 780,
    **dict.fromkeys(("BRT", "ART", "ADT"), -180),
    "NST": -210,
    "NDT": -150,
    "AST": -240,
    "EST": -300,
    "EDT": -240,
    "CST": -360,
    "CDT": -300,
    "MST": -420,
    "MDT": -360,
    "PST": -480,
    "PDT": -420,
    "AKST": -540,
    "AKDT": -480,
    "HST": -600,
}
