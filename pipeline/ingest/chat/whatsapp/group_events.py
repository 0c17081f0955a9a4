"""Lines that WhatsApp writes about a chat: who joined or left, what was changed, security codes.

An invisible mark in front of a text is no evidence by itself: keyboards of right-to-left scripts
and copied texts have it too. The words decide, or that a line about a member begins with the
member's own name.
"""

from __future__ import annotations

import re

from pipeline.ingest.local_times import plain_text

# No line is longer, apart from the notice of encryption.
_MAX_LINE = 300

# The words after a name or "you", by language. A sentence in the first person was not written by
# WhatsApp.
_FIRST_PERSON = re.compile(
    r"(?:i|we|i'm|i've|please|pls|can|could|did|who|have|has|ich|wir|je|nous|yo|nosotros|eu|io|ik"
    r"|я|мы|我(?!们?邀请)|我们|私)\b|我|私"
)
_EVENTS = re.compile(
    # English
    r"\b(?:created (?:this |the )?(?:group|community)|added (?!up|to cart|it)\S"
    r"|was added|were added|joined(?: using| via| from| this| the group| by|$)"
    r"|left(?: the group| the community|$)"
    r"|removed \S|was removed|were removed"
    r"|changed (?:the |this |their |to )(?:group|subject|name|icon|description|settings|phone|"
    r"number|a new|\+|community)|changed to \+|security code|pinned a message|turned (?:on|off) "
    r"|(?:now|no longer) an admin|disappearing messages|message timer|business account"
    r"|blocked this|unblocked this|requested to join|reset this group|deleted this group"
    r"|view once|waiting for this message|(?:your|this) chat|updated the message timer|end-to-end"
    r"|started a (?:voice|video|group)? ?call|this business|invited by|tap to learn more)"
    # Chinese
    r"|创建了?(?:此|这个|本)?群|建立了?(?:此|這個)?群|已?添加了?|新增了|加入了?(?:本群|群|此群|群组|群組)|的邀请链接加入|的邀請連結加入|"
    r"退出了?(?:群|本群|$)|已?离开|已?離開|移除了|更改了|更換了|变更了|變更了|安全(?:代|验证)?码|安全碼|安全代碼|已?成为(?:群组?)?管理员|"
    r"置顶了|釘選了|阅后即焚|限时消息|限時訊息|商业账号|商業帳號"
    # German, Dutch
    r"|\bhat (?:die gruppe|dich|.{1,60} hinzugefügt|.{1,60} entfernt|den betreff|die gruppen|das)|"
    r"gruppe (?:erstellt|verlassen)|hinzugefügt|beigetreten|sicherheitsnummer|geändert"
    r"|\bheeft (?:de groep|je|.{1,60} toegevoegd|.{1,60} verwijderd)|toegevoegd|beveiligingscode"
    r"|heeft de groep verlaten"
    # Spanish, Portuguese, Italian, French
    r"|creó (?:el|este) grupo|añadió a|te añadió|se unió|salió del grupo|salió$|eliminó a|cambió "
    r"(?:el|la|su|a)|código de seguridad"
    r"|criou (?:o|este) grupo|adicionou|entrou usando|saiu$|saiu do grupo|removeu|alterou"
    r"|mudou (?:o|a|para)|código de segurança"
    r"|ha creato (?:il|questo) gruppo|ha aggiunto|ti ha aggiunto|è entrato|ha abbandonato"
    r"|ha rimosso|ha cambiato|codice di sicurezza"
    r"|a créé (?:le|ce) groupe|a ajouté|vous a ajouté|a rejoint|a quitté|a retiré|a supprimé "
    r"|a changé|a modifié|code de sécurité"
    # Russian, Ukrainian, Polish, Czech
    r"|созда(?:л|ла|л\(-а\)) группу|добавил|присоединил|вступил|вышел|вышла|покинул"
    r"|удалил(?:а|\(-а\))? |изменил|код безопасности|створи(?:в|ла) групу|додав"
    r"|приєдна|вийш|змінив|змінила|код безпеки"
    r"|utworzy(?:ł|ła)|dodał|dołączył|opuścił|usunął|usunęła|zmienił|kod zabezpieczeń"
    r"|vytvořil|přidal|připojil|opustil|odebral|změnil|bezpečnostní kód"
    # Turkish, Indonesian, Vietnamese
    r"|grubu oluşturdu|ekledi|katıldı|ayrıldı|çıkardı|değiştirdi|güvenlik kodu"
    r"|membuat grup|menambahkan|bergabung|keluar$|mengeluarkan|mengubah|kode keamanan"
    r"|đã tạo nhóm|đã thêm|đã tham gia|đã rời|đã xóa|đã thay đổi|mã bảo mật"
    # Japanese, Korean, Thai, Hindi
    r"|グループを作成|を追加しました|参加しました|退出しました|削除しました|変更しました|セキュリティコード"
    r"|그룹을 만들|추가했습니다|참여했습니다|나갔습니다|내보냈습니다|변경했습니다|보안 코드"
    r"|สร้างกลุ่ม|ได้เพิ่ม|เข้าร่วม|ออกจากกลุ่ม|เปลี่ยน|รหัสความปลอดภัย"
    r"|ने ग्रुप बनाया|को जोड़ा|शामिल हुए|ग्रुप छोड़ा|ने बदला|सुरक्षा कोड"
    # Arabic and Hebrew: the verb is the first word, or follows the sender's name.
    r"|^(?:قام|أنشأ|أنشأت|أضاف|أضافت|أضافك|انضم|انضمت|غادر|غادرت|أزال|أزالت|غيّر|غيّرت)\b"
    r"|^(?:تمت إضافتك|تمت إزالتك)|رمز الأمان|الدردشة مع حساب نشاط تجاري"
    r"|^(?:יצר|יצרה|הוסיף|הוסיפה|הצטרף|הצטרפה|עזב|עזבה|הסיר|הסירה|שינה|שינתה)\b|קוד האבטחה"
)


def is_chat_event(text: str, sender: str = "") -> bool:
    """Return whether a line after an invisible mark is WhatsApp's own, about the chat.

    >>> is_chat_event("Ann created group “Lamps”", "Ann"), is_chat_event("I left it at home", "Ann")
    (True, False)
    >>> is_chat_event("مرحبا، متى تصل الطلبية؟", "سارة")
    False
    """
    if len(text) > _MAX_LINE:
        return False
    folded = " ".join(plain_text(text).split()).removeprefix("~").strip(" .。").casefold()
    if name := " ".join(plain_text(sender).split()).casefold():
        if folded.startswith(f"{name} "):
            return True
        folded = folded.removeprefix(name).strip()
    return not _FIRST_PERSON.match(folded) and bool(_EVENTS.search(folded))
