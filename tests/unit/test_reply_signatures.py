"""Signatures, device lines and footers: what is cut, and what must stay."""

import pytest

from pipeline.processors.clean.reply import split_reply

_REPLY = "Thursday at ten suits us.\nPlease send the contract to the office."
_QUOTE = "\n\nOn 4 Mar 2024, at 09:15, Ann Lee <ann@example.com> wrote:\n\n> Which day?\n"

_SIGNATURES = {
    "standard": "-- \nBob Roe\nExample Ltd.\n+1 555 0100",
    "two dashes": "--\nBob Roe",
    "em dash": "—\nBob Roe\nCEO at Example",
    "em dashes": "———\nBob Roe",
    "underscores": "__\nBob Roe",
    "long rule": "______________________\nBob Roe\nSales Manager",
    "long dashes": "--------------------\nBob Roe\nbob@example.com",
    "regards": "Best regards,\nBob Roe",
    "regards gap": "Regards,\n\nBob Roe\nCEO @ Example !",
    "regards alone": "Kind regards",
    "regards emoji": "Cheers 🎉\nBob",
    "regards inline": "Best, Bob",
    "warm": "Warmest regards from Berlin,\nBob",
    "thanks and regards": "Thanks and best regards,\nBob Roe",
    "thanks name": "Thanks,\nBob",
    "thank you name": "Thank you for your help!\n\nBob Roe",
    "stacked": "Many thanks,\nKind regards,\nBob",
    "sincerely": (
        "Yours sincerely,\n\nDr. Robert A. Roe, Ph.D.\nHead of Sales | Example Inc.\n"
        "T +1 (555) 010-0200 | M +1 555 010 0300"
    ),
    "bilingual": (
        "Mit freundlichen Grüßen / Best regards\n\nBob Roe\nExample GmbH, Hauptstraße 1, 10115"
        " Berlin\nAmtsgericht Berlin HRB 12345"
    ),
    "german": "Viele Grüße\nBob",
    "german inline": "Liebe Grüße Bob",
    "mfg": "MfG\nBob Roe",
    "french": "Cordialement,\nBob Roe\nDirecteur commercial\nTél. : +33 1 23 45 67 89",
    "french day": "Bonne journée,\nBob",
    "spanish": "Saludos cordiales,\nBob Roe",
    "portuguese": "Atenciosamente,\nBob Roe\nGerente de Vendas",
    "italian": "Cordiali saluti\nBob Roe",
    "dutch": "Met vriendelijke groet,\nBob Roe",
    "polish": "Pozdrawiam serdecznie\nBob Roe",
    "russian": "С уважением,\nБорис Рой\nтел. +7 495 123-45-67",
    "ukrainian": "З повагою,\nБорис Рой",
    "swedish": "Med vänliga hälsningar\nBob Roe",
    "danish": "Med venlig hilsen\nBob Roe",
    "norwegian": "Vennlig hilsen\nBob",
    "finnish": "Ystävällisin terveisin,\nBob Roe",
    "czech": "S pozdravem\nBob Roe",
    "turkish": "Saygılarımla,\nBob Roe",
    "hungarian": "Üdvözlettel,\nBob Roe",
    "greek": "Με εκτίμηση,\nBob Roe",
    "vietnamese": "Trân trọng,\nBob Roe",
    "arabic": "مع أطيب التحيات،\nBob Roe",
    "hebrew": "בברכה,\nBob Roe",
    "dashed name": "-Bob Roe",
    "dashed name space": "- Bob",
    "slashed name": "/Bob",
    "contact block": (
        "Bob Roe\nSenior Engineer | Example Inc.\nTel: +1 555 0100 200\nwww.example.com"
    ),
    "contact block mail": "Bob Roe\nbob@example.com\n(555) 346-9947",
    "disclaimer": (
        "This e-mail and any attachments are confidential and intended solely for the addressee. If"
        " you have received\nthis message in error, please notify the sender and delete it. Thank"
        " you for your cooperation in this matter."
    ),
    "disclaimer titled": (
        "CONFIDENTIALITY NOTICE: The contents of this message are for the recipient only.\nDo not"
        " share it."
    ),
    "disclaimer de": (
        "Diese E-Mail enthält vertrauliche und/oder rechtlich geschützte Informationen. Wenn Sie"
        " nicht der richtige\nAdressat sind, vernichten Sie diese Mail."
    ),
    "disclaimer fr": (
        "Ce message et ses pièces jointes sont confidentiels et établis à l'intention exclusive de"
        " son destinataire."
    ),
    "print": "Please consider the environment before printing this e-mail.",
    "closing and disclaimer": (
        "Best regards,\nBob Roe\n\n________________\nThis message is confidential. It may contain"
        " privileged information\nand must not be read by others."
    ),
    "list": (
        "_______________________________________________\nusers mailing"
        " list\nusers@lists.example.org\nhttps://lists.example.org/listinfo/users"
    ),
    "list short": "__\nusers mailing list\nusers@lists.example.org",
    "github": (
        "—\nReply to this email directly, view it on GitHub, or unsubscribe.\n"
        "You are receiving this because you were mentioned."
    ),
    "group": (
        'You received this message because you are subscribed to the Google Groups "users" group.\n'
        "To unsubscribe, send an email."
    ),
    "double": "Best regards,\nBob\n\n--\nBob Roe\nSenior Developer\n\nSent from my iPhone",
    "pgp": (
        "-----BEGIN PGP SIGNATURE-----\nVersion: GnuPG v2\n\niQEcBAEBCAAGBQJ\n=abcd\n-----END PGP"
        " SIGNATURE-----"
    ),
}


@pytest.mark.parametrize("name", _SIGNATURES)
@pytest.mark.parametrize("quote", ["", _QUOTE])
def test_signature_is_cut(name: str, quote: str) -> None:
    split = split_reply(f"{_REPLY}\n\n{_SIGNATURES[name]}{quote}")
    assert split.reply == _REPLY
    assert split.signature == _SIGNATURES[name]
    assert all(rule.startswith(("signature:", "attribution:")) for rule in split.rules)


@pytest.mark.parametrize("name", ["standard", "regards", "thanks name", "double"])
def test_signature_below_the_quote_is_cut(name: str) -> None:
    split = split_reply(f"Ann Lee wrote:\n> Which day?\n\n{_REPLY}\n\n{_SIGNATURES[name]}\n")
    assert split.reply == _REPLY
    assert split.signature == _SIGNATURES[name]


_DEVICES = {
    "en": [
        "Sent from my iPhone",
        "Sent from my iPhone, please excuse any typos.",
        "(Sent from a mobile device)",
        "<<sent by galaxy>>",
        "Sent via BlackBerry from T-Mobile",
        "Sent with Proton Mail secure email.",
        "Sent from Mail for Windows",
        "Sent from Outlook for Android<https://aka.ms/x>",
        "Sent from [Proton Mail](https://proton.me/mail/home) for iOS",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "Sent from Yahoo Mail on Android",
        "Sent from my Verizon Wireless BlackBerry",
        "Sent wirelessly from my BlackBerry device on the Bell network.",
        "From my iPhone",
    ],
    "de": [
        "Von meinem iPhone gesendet",
        "Gesendet von Mail für Windows",
        "Gesendet mit der GMX Mail App",
        "Diese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.",
        "Outlook für Android beziehen",
    ],
    "fr": [
        "Envoyé de mon iPhone",
        "Envoyé à partir de Outlook pour iOS",
        "Télécharger Outlook pour Android",
        "Envoyé depuis mon mobile",
    ],
    "es": ["Enviado desde mi iPhone", "Obtener Outlook para iOS"],
    "pt": [
        "Enviado do meu iPhone",
        "Enviado a partir do meu iPhone",
        "Obter o Outlook para Android",
    ],
    "it": ["Inviato da iPhone", "Inviato dal mio iPad", "Scarica Outlook per iOS"],
    "nl": [
        "Verstuurd vanaf mijn iPhone",
        "Verzonden met Outlook voor Android",
        "Outlook voor iOS downloaden",
    ],
    "pl": ["Wysłane z iPhone'a", "Pobierz program Outlook dla systemu iOS"],
    "ru": ["Отправлено с iPhone", "Отправлено из мобильной Яндекс Почты"],
    "uk": ["Надіслано з iPhone"],
    "sv": ["Skickat från min iPhone", "Hämta Outlook för iOS"],
    "no": ["Sendt fra min iPhone", "Få Outlook for iOS"],
    "da": ["Hent Outlook til Android"],
    "fi": ["Lähetetty iPhonesta", "Hanki Outlook for iOS"],
    "cs": ["Odesláno z iPhonu", "Získat Outlook pro iOS"],
    "sk": ["Odoslané z iPhonu"],
    "hu": ["Elküldve az iPhone-omról", "Az iPhone készülékemről küldve"],
    "ro": ["Trimis de pe iPhone"],
    "tr": ["iPhone'umdan gönderildi"],
    "el": ["Στάλθηκε από το iPhone μου"],
    "vi": ["Đã gửi từ iPhone của tôi"],
    "id": ["Dikirim dari iPhone saya"],
    "ar": ["أُرسلت من الـ iPhone"],
    "he": ["נשלח מה-iPhone שלי"],
    "th": ["ส่งจาก iPhone ของฉัน"],
    "zh": [
        "发自我的 iPhone",
        "發自我的 iPhone",
        "从我的 iPhone 发送",
        "從我的iPhone傳送",
        "来自我的华为手机",
        "發送自 Windows 的郵件",
        "下载 Outlook for iOS",
    ],
    "ja": ["iPhoneから送信", "私のiPhoneから送信されました", "Outlook for iOS を入手"],
    "ko": ["나의 iPhone에서 보냄", "Galaxy에서 보냄"],
}


@pytest.mark.parametrize(
    ("language", "line"), [(code, line) for code, lines in _DEVICES.items() for line in lines]
)
def test_device_line_is_cut(language: str, line: str) -> None:
    split = split_reply(f"{_REPLY}\n\n{line}\n")
    assert split.reply == _REPLY
    assert split.signature == line
    assert split.rules == ("signature:device",)


@pytest.mark.parametrize(
    ("language", "line"), [(code, lines[0]) for code, lines in _DEVICES.items()]
)
def test_text_below_a_device_line_is_a_quote(language: str, line: str) -> None:
    old = "We would be glad to meet you at our office next week, if you tell us the day."
    split = split_reply(f"{_REPLY}\n\n{line}\n\n{old}\n")
    assert split.reply == _REPLY
    assert split.quoted == old
    assert split.rules[0] == "signature:device"
    assert split.rules[1].startswith("after_device:")


_KEPT = {
    "thanks alone": "Please send the invoice.\n\nThanks!",
    "thanks in advance": "Please send the invoice.\n\nThanks in advance",
    "thanks only": "Thanks,\nBob",
    "regards in a sentence": (
        "With regards to the payment we agree.\n\nAs regards the price, we do not.\nBest of all is"
        " the colour."
    ),
    "closing then prose": (
        "Thanks,\n\nI forgot to say that the second parcel has not arrived either, so please look"
        " for both."
    ),
    "middle": (
        "Regards,\nBob\n\nP.S. I forgot to say that the second parcel has not arrived either, so"
        " please look for both."
    ),
    "device in prose": (
        "The note was sent from my iPhone app to all users.\nSent from my desk, is much easier than"
        " my phone."
    ),
    "device in code": "See:\n```\n// Sent from my custom mailer\n--\n```\nIt is wrong, is it not?",
    "dash list": "I write because of:\n-- the first point\n-- the second point\n\nThanks!",
    "bullets": "Please bring:\n- Bread\n- Butter",
    "rule in text": (
        "Part one is about the price.\n\n----\n\n"
        "Part two is about the time, and it is much longer than the first part was."
    ),
    "address to ship to": (
        "Please ship it to:\n\nBob Roe\n12 High Street\nLondon\nTel: 020 7946 0000"
    ),
    "form": "Order: 4711\nName: Bob Roe\nPhone: 020 7946 0000",
    "own disclaimer": (
        "Disclaimer: I have never used this printer before, so I may be wrong about all of this."
    ),
    "confidential request": "Please treat this as confidential.\n\nI want to cancel my contract.",
    "thanks to somebody": "Thanks Ann, that helped.",
    "love": "My children\nlove",
    "postscript after device": (
        "Fine.\n\nSent from my iPhone\n\n"
        "P.S. the second parcel has not arrived either, so please look for both of them."
    ),
    "spaced thanks": (
        "Thank you for the quick answer and for all the trouble you took.\n\nWhen will it ship?"
    ),
    "name only": "Yes.\n\nBob",
    "links": "Compare these:\n\nOld Page\nhttp://example.com/a\nhttp://example.com/b",
}


@pytest.mark.parametrize("name", _KEPT)
def test_text_of_the_author_is_kept(name: str) -> None:
    split = split_reply(_KEPT[name])
    assert split.reply == _KEPT[name]
    assert split.rules == ()


def test_device_line_above_the_text_cuts_nothing() -> None:
    split = split_reply(
        "Sent from my iPhone\n\nHello, I have not received my order and I would like to know why"
        " that is.\n"
    )
    assert "I have not received my order" in split.reply


def test_signature_between_reply_and_quote_keeps_the_order_of_parts() -> None:
    split = split_reply(f"{_REPLY}\n\nBest regards,\nBob{_QUOTE}")
    assert [(part.kind, part.rule) for part in split.parts] == [
        ("reply", ""),
        ("signature", "signature:closing"),
        ("quoted", "attribution:en"),
    ]


def test_a_mail_that_is_only_a_signature_is_flagged() -> None:
    split = split_reply("-- \nBob Roe\n")
    assert split.reply == ""
    assert split.signature == "-- \nBob Roe"
    assert split.flags == ("empty_reply",)


@pytest.mark.parametrize("depth", [1, 40])
def test_many_delimiters_terminate(depth: int) -> None:
    split = split_reply(f"{_REPLY}\n" + "--\nBob\n" * depth)
    assert split.reply.startswith(_REPLY)
