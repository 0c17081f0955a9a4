"""Replies as mail programs write them, one case per program and language."""

import pytest

from pipeline.processors.clean.reply import split_reply

# Name, language or rule that must cut, mail. The reply is always _REPLY; the quote must never
# remain.
_REPLY = "Thursday at ten suits us.\nPlease send the contract."
_ATTRIBUTIONS = {
    "gmail en": ("en", "On Mon, Mar 4, 2024 at 9:15 AM Ann Lee <ann.lee@example.com> wrote:"),
    "gmail en wrapped": (
        "en",
        (
            "On Mon, Mar 4, 2024 at 9:15 AM Annabel van der Lee-Hartington <\nannabel@example.com>"
            " wrote:"
        ),
    ),
    "gmail en wrapped thrice": (
        "en",
        "On Mon, Mar 4, 2024 at 9:15 AM\nAnnabel Lee\n<annabel@example.com>\nwrote:",
    ),
    "gmail en narrow space": (
        "en",
        "On Mon, Mar 4, 2024 at 9:15\u202fAM Ann Lee <ann.lee@example.com> wrote:",
    ),
    "apple en": ("en", "On 4 Mar 2024, at 09:15, Ann Lee <ann.lee@example.com> wrote:"),
    "outlook mac en": ("en", 'On 04/03/2024, 09:15, "Ann Lee" <ann.lee@example.com> wrote:'),
    "thunderbird en": ("en", "On 3/4/24 09:15, Ann Lee wrote:"),
    "yahoo en": (
        "en",
        "On Monday, March 4, 2024 at 09:15:22 AM GMT+1, Ann Lee <ann.lee@example.com> wrote:",
    ),
    "evolution en": ("en", "On Mon, 2024-03-04 at 09:15 +0100, Ann Lee wrote:"),
    "proton en": (
        "en",
        "On Monday, March 4th, 2024 at 9:15 AM, Ann Lee <ann.lee@example.com> wrote:",
    ),
    "zoho": (
        "en",
        "---- On Mon, 04 Mar 2024 09:15:00 +0100 Ann Lee <ann.lee@example.com> wrote ----",
    ),
    "name first en": ("en", "Ann Lee <ann.lee@example.com> wrote on Mon, 4 Mar 2024 at 09:15:"),
    "aol": (
        "en",
        "In a message dated 3/4/2024 9:15:00 AM Eastern Standard Time, ann.lee@example.com writes:",
    ),
    "gmail de": ("de", "Am Mo., 4. März 2024 um 09:15 Uhr schrieb Ann Lee <ann.lee@example.com>:"),
    "apple de": ("de", "Am 04.03.2024 um 09:15 schrieb Ann Lee <ann.lee@example.com>:"),
    "thunderbird de": ("de", "Am 04.03.24 um 09:15 schrieb Ann Lee:"),
    "gmail de mobile": ("de", "Ann Lee <ann.lee@example.com> schrieb am Mo., 4. März 2024, 09:15:"),
    "gmail fr": ("fr", "Le lun. 4 mars 2024 à 09:15, Ann Lee <ann.lee@example.com> a écrit :"),
    "gmail fr nbsp": (
        "fr",
        "Le lun. 4 mars 2024 à 09:15, Ann Lee <ann.lee@example.com> a\nécrit\xa0:",
    ),
    "apple fr": ("fr", "Le 4 mars 2024 à 09:15, Ann Lee <ann.lee@example.com> a écrit :"),
    "gmail es": ("es", "El lun, 4 mar 2024 a las 9:15, Ann Lee (<ann.lee@example.com>) escribió:"),
    "apple es": ("es", "El 4 mar 2024, a las 9:15, Ann Lee <ann.lee@example.com> escribió:"),
    "gmail pt": (
        "pt",
        "Em seg., 4 de mar. de 2024 às 09:15, Ann Lee <ann.lee@example.com>\nescreveu:",
    ),
    "gmail pt-PT": (
        "pt",
        "Ann Lee <ann.lee@example.com> escreveu (segunda, 4/03/2024 à(s) 09:15):",
    ),
    "apple pt": ("pt", "No dia 04/03/2024, às 09:15, Ann Lee <ann.lee@example.com> escreveu:"),
    "gmail it": (
        "it",
        "Il giorno lun 4 mar 2024 alle ore 09:15 Ann Lee <ann.lee@example.com> ha\nscritto:",
    ),
    "thunderbird it": ("it", "Il 04/03/2024 09:15, Ann Lee ha scritto:"),
    "gmail nl": ("nl", "Op ma 4 mrt 2024 om 09:15 schreef Ann Lee <ann.lee@example.com>:"),
    "apple nl": (
        "nl",
        "Op 4 mrt. 2024, om 09:15 heeft Ann Lee <ann.lee@example.com> het volgende geschreven:",
    ),
    "gmail pl": ("pl", "pon., 4 mar 2024 o 09:15 Ann Lee <ann.lee@example.com> napisał(a):"),
    "apple pl": (
        "any",
        "Wiadomość napisana przez Ann Lee <ann.lee@example.com> w dniu 4 mar 2024, o godz. 09:15:",
    ),
    "thunderbird pl": ("pl", "W dniu 4.03.2024 o 09:15, Ann Lee pisze:"),
    "gmail ru": ("any", "пн, 4 мар. 2024 г. в 09:15, Ann Lee <ann.lee@example.com>:"),
    "apple ru": ("ru", "4 марта 2024 г., в 09:15, Ann Lee <ann.lee@example.com> написал(а):"),
    "mail.ru": ("any", "Понедельник, 4 марта 2024, 9:15 +03:00 от Ann Lee <ann.lee@example.com>:"),
    "yandex": ("any", '04.03.2024, 09:15, "Ann Lee" <ann.lee@example.com>:'),
    "thunderbird ru": ("ru", "04.03.2024 9:15, Ann Lee пишет:"),
    "gmail uk": ("uk", "пн, 4 бер. 2024 р. о 09:15 Ann Lee <ann.lee@example.com> пише:"),
    "gmail sv": ("sv", "Den mån 4 mars 2024 kl 09:15 skrev Ann Lee <ann.lee@example.com>:"),
    "apple sv": ("sv", "4 mars 2024 kl. 09:15 skrev Ann Lee <ann.lee@example.com>:"),
    "gmail no": ("sv", "man. 4. mars 2024 kl. 09:15 skrev Ann Lee <ann.lee@example.com>:"),
    "outlook no": ("no", "Ann Lee <ann.lee@example.com> skrev følgende den 04.03.2024 09:15:"),
    "gmail da": ("sv", "Den man. 4. mar. 2024 kl. 09.15 skrev Ann Lee <ann.lee@example.com>:"),
    "gmail fi": ("fi", "ma 4. maalisk. 2024 klo 9.15 Ann Lee (ann.lee@example.com) kirjoitti:"),
    "apple fi": ("fi", "Ann Lee <ann.lee@example.com> kirjoitti 4.3.2024 kello 9.15:"),
    "gmail cs": ("cs", "po 4. 3. 2024 v 9:15 odesílatel Ann Lee <ann.lee@example.com> napsal:"),
    "outlook cs": ("cs", "Dne 4. 3. 2024 v 9:15, Ann Lee <ann.lee@example.com> napsal(a):"),
    "gmail sk": ("sk", "po 4. 3. 2024 o 9:15 Ann Lee <ann.lee@example.com> napísal(a):"),
    "gmail tr": (
        "tr",
        "Ann Lee <ann.lee@example.com>, 4 Mar 2024 Pzt, 09:15 tarihinde şunu yazdı:",
    ),
    "apple tr": ("tr", "Ann Lee <ann.lee@example.com> şunları yazdı (4 Mar 2024 09:15):"),
    "gmail hu": (
        "hu",
        "Ann Lee <ann.lee@example.com> ezt írta (időpont: 2024. márc. 4., H, 9:15):",
    ),
    "thunderbird hu": ("hu", "2024. 03. 04. 9:15 keltezéssel, Ann Lee írta:"),
    "gmail ro": ("ro", "În lun., 4 mar. 2024 la 09:15, Ann Lee <ann.lee@example.com> a scris:"),
    "gmail vi": (
        "vi",
        "Vào Th 2, 4 thg 3, 2024 vào lúc 09:15 Ann Lee <ann.lee@example.com> đã viết:",
    ),
    "gmail id": (
        "id",
        "Pada tanggal Sen, 4 Mar 2024 pukul 09.15 Ann Lee <ann.lee@example.com> menulis:",
    ),
    "gmail ar": (
        "any",
        "في الاثنين، 4 مارس 2024 في 9:15 ص تمت كتابة ما يلي بواسطة Ann Lee <ann.lee@example.com>:",
    ),
    "gmail ar digits": ("ar", "في الاثنين، ٤ مارس ٢٠٢٤، ٩:١٥ ص Ann Lee <ann.lee@example.com> كتب:"),
    "gmail he": (
        "any",
        (
            "\u202bבתאריך יום ב׳, 4 במרץ 2024 ב-9:15 מאת \u202aAnn Lee\u202c\u200f "
            "<\u202aann.lee@example.com\u202c\u200f>:\u202c"
        ),
    ),
    "gmail el": (
        "el",
        "Στις Δευ 4 Μαρ 2024 στις 9:15 π.μ., ο χρήστης Ann Lee <ann.lee@example.com> έγραψε:",
    ),
    "gmail th": (
        "th",
        "ในวันที่ จ. 4 มี.ค. 2024 เวลา 09:15 Ann Lee <ann.lee@example.com> เขียนว่า:",
    ),
    "gmail ca": (
        "any",
        "Missatge de Ann Lee <ann.lee@example.com> del dia dl., 4 de març 2024 a les 9:15:",
    ),
    "gmail hr": ("hr", "pon, 4. ožu 2024. u 09:15 Ann Lee <ann.lee@example.com> napisao je:"),
    "gmail old": ("any", "2014/3/4 Ann Lee <ann.lee@example.com>"),
    "gmail old gmt": ("any", "2014-03-04 9:15 GMT+01:00 Ann Lee <ann.lee@example.com>:"),
    "samsung": ("en", "---- Ann Lee <ann.lee@example.com> wrote ----"),
    "entities": ("en", "On Mar 4, 2024, Ann &quot;Annie&quot; Lee &lt;ann@example.com&gt; wrote:"),
}
_OLD = ["Could we meet next week?", "", "Which day would be best for you?", "Ann"]


@pytest.mark.parametrize("name", _ATTRIBUTIONS)
@pytest.mark.parametrize("sign", ["", "> "])
def test_attribution_starts_the_quote(name: str, sign: str) -> None:
    language, attribution = _ATTRIBUTIONS[name]
    old = "\n".join((sign + line).rstrip() for line in _OLD)
    mail = f"{_REPLY}\n\n{attribution}\n\n{old}\n"
    split = split_reply(mail)
    assert split.reply == _REPLY
    assert split.quoted.startswith(attribution.split("\n", maxsplit=1)[0])
    assert split.rules == (f"attribution:{language}",)


_HEADER_BLOCKS = {
    "outlook en": (
        "From: Ann Lee <ann.lee@example.com>\nSent: Monday, March 4, 2024 9:15 AM\nTo: Bob Roe"
        " <bob@example.com>\nCc: sales@example.com\nSubject: RE: Contract"
    ),
    "outlook en rule": (
        "________________________________\nFrom: Ann Lee <ann.lee@example.com>\nSent: 04 March 2024"
        " 09:15\nTo: Bob Roe <bob@example.com>\nSubject: Contract"
    ),
    "outlook en without addresses": (
        "From: Ann Lee\nSent: Monday, March 4, 2024 9:15 AM\nTo: Bob Roe\nSubject: Contract"
    ),
    "bold": (
        "*From:* Ann Lee [mailto:ann.lee@example.com]\n*Sent:* Monday, March 4, 2024 9:15 AM\n*To:*"
        " Bob Roe\n*Subject:* Contract"
    ),
    "folded": (
        "From: Ann Lee\n<ann.lee@example.com>\nDate: Monday, 4 March 2024 at 09:15\nTo: Bob Roe"
        " <bob@example.com>,\nCarol Poe <carol@example.com>\nSubject: A rather long subject that"
        " goes on\nin the next line"
    ),
    "run together": (
        "From: Ann Lee <ann.lee@example.com> To: Bob Roe <bob@example.com> Sent: Monday, March 4,"
        " 2024 Subject: Contract"
    ),
    "thunderbird forward": (
        "-------- Forwarded Message --------\nSubject: \tContract\nDate: \tMon, 4 Mar 2024 09:15:00"
        " +0100\nFrom: \tAnn Lee <ann.lee@example.com>\nTo: \tBob Roe <bob@example.com>"
    ),
    "gmail forward": (
        "---------- Forwarded message ---------\nFrom: Ann Lee <ann.lee@example.com>\n"
        "Date: Mon, Mar 4, 2024 at 9:15 AM\n"
        "Subject: Contract\nTo: <bob@example.com>"
    ),
    "apple forward": (
        "Begin forwarded message:\n\nFrom: Ann Lee <ann.lee@example.com>\nSubject: Contract\nDate:"
        " 4 March 2024"
    ),
    "outlook de": (
        "Von: Ann Lee <ann.lee@example.com>\nGesendet: Montag, 4. März 2024 09:15\n"
        "An: Bob Roe <bob@example.com>\nBetreff: AW: Vertrag"
    ),
    "outlook de express": (
        "-----Ursprüngliche Nachricht-----\nVon: Ann Lee\nGesendet: 4. März 2024\nAn: Bob\nBetreff:"
        " Vertrag"
    ),
    "gmx": (
        'Gesendet: Montag, 04. März 2024 um 09:15 Uhr\nVon: "Ann Lee" <ann.lee@example.com>\n'
        "An: bob@example.com\nBetreff: Vertrag"
    ),
    "outlook fr": (
        "De : Ann Lee <ann.lee@example.com>\nEnvoyé : lundi 4 mars 2024 09:15\n"
        "À : Bob Roe <bob@example.com>\nObjet : Contrat"
    ),
    "orange fr": (
        '> Message du 04/03/24 09:15\n> De : "Ann Lee" <ann.lee@example.com>\n> A :'
        " bob@example.com\n> Copie à : \n> Objet : Contrat\n>"
    ),
    "outlook es": (
        "De: Ann Lee <ann.lee@example.com>\nEnviado el: lunes, 4 de marzo de 2024 9:15\nPara: Bob"
        " Roe\nAsunto: RE: Contrato"
    ),
    "outlook pt": (
        "De: Ann Lee <ann.lee@example.com>\nEnviada em: segunda-feira, 4 de março de 2024 09:15\n"
        "Para: Bob Roe\nAssunto: Contrato"
    ),
    "outlook it": (
        "Da: Ann Lee <ann.lee@example.com>\nInviato: lunedì 4 marzo 2024 09:15\n"
        "A: Bob Roe <bob@example.com>\nOggetto: Contratto"
    ),
    "outlook nl": (
        "Van: Ann Lee <ann.lee@example.com>\nVerzonden: maandag 4 maart 2024 09:15\nAan: Bob"
        " Roe\nOnderwerp: Contract"
    ),
    "outlook pl": (
        "Od: Ann Lee <ann.lee@example.com>\nWysłano: poniedziałek, 4 marca 2024 09:15\nDo: Bob"
        " Roe\nTemat: Umowa"
    ),
    "outlook ru": (
        "От: Ann Lee <ann.lee@example.com>\nОтправлено: 4 марта 2024 г. 9:15\nКому: Bob Roe\nТема:"
        " Договор"
    ),
    "outlook uk": (
        "Від: Ann Lee <ann.lee@example.com>\nНадіслано: 4 березня 2024 р. 9:15\nКому: Bob"
        " Roe\nТема: Договір"
    ),
    "outlook sv": (
        "Från: Ann Lee <ann.lee@example.com>\nSkickat: den 4 mars 2024 09:15\nTill: Bob Roe\nÄmne:"
        " Avtal"
    ),
    "outlook no": (
        "Fra: Ann Lee <ann.lee@example.com>\nSendt: mandag 4. mars 2024 09:15\nTil: Bob Roe\nEmne:"
        " Avtale"
    ),
    "outlook da": (
        "-----Oprindelig meddelelse-----\nFra: Ann Lee\nSendt: 4. marts 2024 09:15\nTil: Bob"
        " Roe\nEmne: Aftale"
    ),
    "outlook fi": (
        "Lähettäjä: Ann Lee <ann.lee@example.com>\nLähetetty: maanantai 4. maaliskuuta 2024 9.15\n"
        "Vastaanottaja: Bob\nAihe: Sopimus"
    ),
    "outlook cs": (
        "Od: Ann Lee <ann.lee@example.com>\nOdesláno: pondělí 4. března 2024 9:15\nKomu: Bob"
        " Roe\nPředmět: Smlouva"
    ),
    "outlook tr": (
        "Kimden: Ann Lee <ann.lee@example.com>\nGönderildi: 4 Mart 2024 Pazartesi 09:15\nKime: Bob"
        " Roe\nKonu: Sözleşme"
    ),
    "outlook hu": (
        "Feladó: Ann Lee <ann.lee@example.com>\nElküldve: 2024. március 4., hétfő 9:15\nCímzett:"
        " Bob\nTárgy: Szerződés"
    ),
    "outlook ro": (
        "De la: Ann Lee <ann.lee@example.com>\nTrimis: luni, 4 martie 2024 09:15\nCătre: Bob"
        " Roe\nSubiect: Contract"
    ),
    "outlook el": (
        "Από: Ann Lee <ann.lee@example.com>\nΣτάλθηκε: 4 Μαρτίου 2024 9:15\nΠρος: Bob Roe\nΘέμα:"
        " Σύμβαση"
    ),
    "outlook vi": (
        "Từ: Ann Lee <ann.lee@example.com>\nĐã gửi: 4 Tháng Ba 2024 09:15\nĐến: Bob Roe\nChủ đề:"
        " Hợp đồng"
    ),
    "outlook ar": (
        "من: Ann Lee <ann.lee@example.com>\nتاريخ الإرسال: 4 مارس 2024 9:15\nإلى: Bob"
        " Roe\nالموضوع: عقد"
    ),
    "outlook he": (
        "מאת: Ann Lee <ann.lee@example.com>\nנשלח: 4 במרץ 2024 9:15\nאל: Bob Roe\nנושא: חוזה"
    ),
    "helpdesk": (
        "##- Please type your reply above this line -##\n\nYour request (4711) has been updated."
    ),
    "original spaced": (
        '----- Original Message -----\nFrom: "Ann Lee" <ann.lee@example.com>\nTo: <bob@example.com>'
    ),
    "original bare": "-----Original Message-----\n\nCould we meet?",
}


@pytest.mark.parametrize("name", _HEADER_BLOCKS)
def test_header_block_starts_the_quote(name: str) -> None:
    block = _HEADER_BLOCKS[name]
    split = split_reply(f"{_REPLY}\n\n{block}\n\n" + "\n".join(_OLD) + "\n")
    if name == "orange fr":
        # Orange prefixes its header lines with > but not the old text, which therefore looks like
        # an answer and stays.
        assert split.reply.startswith(_REPLY)
        assert "Message du" not in split.reply
    else:
        assert split.reply == _REPLY
        assert split.quoted.startswith(block.split("\n", maxsplit=1)[0])


@pytest.mark.parametrize("name", _HEADER_BLOCKS)
def test_reply_directly_above_a_header_block(name: str) -> None:
    split = split_reply(f"{_REPLY}\n{_HEADER_BLOCKS[name]}\n")
    assert split.reply == _REPLY
    assert split.signature == ""


def test_answer_below_a_header_block_with_a_folded_subject() -> None:
    mail = (
        "From: Ann Lee <ann@example.com>\nDate: Monday, 4 March 2024\nSubject: A rather long"
        " subject that goes on\nin the next line\n\n> Could we meet?\n\nYes.\n"
    )
    assert split_reply(mail).reply == "Yes."


def test_windows_line_ends() -> None:
    mail = f"{_REPLY}\n\n{_ATTRIBUTIONS['gmail en'][1]}\n> old\n".replace("\n", "\r\n")
    assert split_reply(mail).reply == _REPLY.replace("\n", "\r\n")


def test_attribution_that_shares_a_line_with_the_reply() -> None:
    split = split_reply(
        "Fine with me. On Wed, Apr 3, 2024 at 3:59 PM, bob@example.com wrote:\n> Is Friday fine?\n"
    )
    assert split.reply == "Fine with me."
    assert split.quoted.startswith("On Wed") or split.quoted.startswith(" On Wed")


PROSE = {
    "on the": "On the other hand, he wrote:\nnothing at all about 5 boxes.",
    "on thursday": "On Thursday:\n\nWe open at 9:00.",
    "from in text": "The parcel came from: Berlin\nand went to: Paris on 4 May.",
    "form": "From: London\nTo: Paris\nDate: 5 May 2024\nPassengers: 2",
    "web form": (
        "From: Ann Lee <ann@example.com>\nSubject: Opening hours\n\nMessage Body:\nWhen do you"
        " open?"
    ),
    "form with address": (
        "From: Ann\nTo: Bob\nDate: 5 May 2024\nE-mail: ann@example.com\nWhen will the parcel come?"
    ),
    "zh parcel": (
        "寄件人：李安\n收件人：王波\n日期：2024年3月4日\n邮箱：bo@example.com\n请问包裹到哪了？"
    ),
    "times": (
        "Here are the slots:\n\n2024-03-04 09:15:00\n04.03.2024 10:00\nMar 4, 2024 at"
        " 11:00\n\nWhich one is it?"
    ),
    "url": "See https://example.com/on-4-mar-2024-ann-wrote:\nIt is all there.",
    "am": (
        "Am I right that it costs 50 dollars?\nAm 5. Mai kommt der Techniker:\nbitte um 10:00 Uhr."
    ),
    "list": "To do:\n- subject: ask Bob\n- date: ask Ann\n- price: 5 EUR",
    "dashes": (
        "Key points\n----\n1. faster\n\n----\nThat was the summary of it, and there is more to come"
        " in the next days."
    ),
    "zh mention": "在2023年5月我们签了合同，客服写道可以退款，但是一直没有退。\n请处理。",
    "zh from": "发件人写错了，请更正。\n主题：关于发票\n我的发票号是 123。",
    "sent from prose": "Sent from my desk, is much easier than from my phone.",
    "said": "I called on 4 March at 9:15 and your colleague said: it will come.\nIt did not.",
    "code": "Run this:\n```\n> npm install\n> npm start\n```\nIt fails with an error.",
    "interpreter": ">>> import shop\n>>> shop.price('a')\nTraceback\n\nWhy is that?",
    "comparison": "The value must be > 5\nand < 10.",
    "mbox escape": "Dear team,\n>From Monday on we are closed.\nPlease deliver before.",
    "chevrons": "Visit us:\n>>> http://example.com <<<\nSee you!",
}


@pytest.mark.parametrize("name", PROSE)
def test_prose_is_not_cut(name: str) -> None:
    split = split_reply(PROSE[name])
    assert split.reply == PROSE[name]
    assert split.rules == ()
