"""Words that WhatsApp itself writes into exports, by language.

The structure of a line is looked at first; these words help where it leaves the kind open, or where
direction marks were lost.
"""

from __future__ import annotations

import re

from pipeline.ingest.local_times import plain_text

# What a placeholder stands for, by a part of its wording. The first kind that matches wins: a GIF
# is called a picture too.
_KINDS: dict[str, str] = {
    "gif": "gif",
    "sticker": (
        "sticker|stiker|autocollant|figurinha|autocolante|pegatina|çıkartma|matrica|αυτοκόλλητ|стикер|наклейк|nálepk|naklejk|"
        "スタンプ|ステッカー|贴图|貼圖|贴纸|스티커|สติกเกอร์|स्टिकर|ملصق|מדבק"
    ),
    "contact": (
        "contact|contato|contatto|kontak|contacto|контакт|vizitk|wizytówk|kişi"
        " kart|επαφ|連絡先|联系人|聯絡|名片|연락처|รายชื่อ|कॉन्टैक्ट|संपर्क|جهة اتصال|איש"
        " קשר|liên lạc"
    ),
    "document": (
        "document|dokument|dokumen|документ|belge|έγγραφ|asiakirja|ドキュメント|文書|文档|文件|檔案|문서|เอกสาร|डॉक्यूमेंट|दस्तावेज|مستند|מסמך|tài"
        " liệu"
    ),
    "audio": (
        "audio|áudio|аудио|аудіо|zvuk|dźwięk|ses"
        " dahil|suara|ήχο|ääni|音声|音频|音訊|语音|語音|오디오|음성|เสียง|ऑडियो|صوت|שמע|âm thanh"
    ),
    "video": (
        "video|vídeo|vidéo|wideo|видео|відео|βίντεο|ビデオ|動画|视频|視訊|影片|비디오|동영상|วิดีโอ|वीडियो|فيديو|וידאו|סרטון"
    ),
    "image": (
        "image|imagen|imagem|immagine|bild|afbeelding|foto|photo|изображ|зображ|фото|obráz|obraz|zdjęci|görsel|görüntü|resim|gambar|"
        "εικόν|kuva|画像|圖片|图片|图像|影像|照片|이미지|사진|รูปภาพ|फ़ोटो|फोटो|चित्र|صورة|תמונ|ảnh|imagine"
    ),
}
# A family of media types where only the kind is known. WhatsApp's stickers are WebP, its contact
# cards are vCards.
_MEDIA_TYPES = {
    "gif": "image/gif",
    "sticker": "image/webp",
    "contact": "text/vcard",
    "document": "application/*",
    "audio": "audio/*",
    "video": "video/*",
    "image": "image/*",
}
_EXTENSIONS = {
    "image/jpeg": "jpg jpeg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/heic": "heic",
    "video/mp4": "mp4",
    "video/3gpp": "3gp",
    "video/quicktime": "mov",
    "audio/ogg": "opus ogg",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "text/vcard": "vcf",
    "text/plain": "txt",
    "text/csv": "csv",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
_TYPE_OF = {
    extension: media
    for media, extensions in _EXTENSIONS.items()
    for extension in extensions.split()
}

# A message that is a placeholder for omitted media, by language; needed where the direction marks
# around it were lost.
_LEFT_OUT = re.compile(
    r"(?:image|video|audio|sticker|gif|document|contact card) omitted"
    r"|(?:图像|图片|照片|视频|音频|语音|贴图|文档|文件|联系人名片|gif(?: ?动态图)?)"
    r" ?(?:已|已被)(?:忽略|省略|略去)"
    r"|(?:圖片|圖像|影像|影片|視訊|音訊|語音訊息|貼圖|文件|檔案|聯絡人名片|gif)"
    r" ?已(?:略去|省略|忽略)"
    r"|(?:bild|video|audio|sticker|gif|dokument|kontaktkarte) (?:weg|aus)gelassen"
    r"|(?:imagen|vídeo|video|audio|sticker|gif|documento|tarjeta de contacto) omitid[oa]"
    r"|(?:image|vidéo|audio|sticker|gif|document|fiche contact)"
    r" (?:absente?|omise?|manquante?|retirée?)"
    r"|(?:imagem|vídeo|áudio|figurinha|sticker|gif|documento|contacto|cartão do contato)"
    r" (?:ocultad[oa]|omitid[oa]|não revelad[oa])"
    r"|(?:immagine|video|audio|sticker|gif|documento|scheda contatto) (?:omess[oa]|non"
    r" inclus[oa]|esclus[oa])"
    r"|(?:afbeelding|video|audio|sticker|gif|document|contactkaart) weggelaten"
    r"|(?:изображение|видео|аудиофайл|аудио|стикер|gif|документ|карточка контакта)"
    r" (?:отсутствует|не добавлен|пропущен)"
    r"|(?:画像|ビデオ|動画|音声|スタンプ|gif|ドキュメント|連絡先カード)(?:は含まれていません|は省略されました|を省略)"
    r"|(?:이미지|사진|동영상|오디오|스티커|gif|문서|연락처 카드) ?(?:생략됨|제외됨)"
)
_DELETED = re.compile(
    r"this message was deleted|you deleted this message|this message was deleted by admin .{1,60}"
    r"|(?:此|这条|該|该)(?:消息|訊息)已(?:被)?(?:删除|刪除|撤回)|[您你]已?(?:删除|刪除)了?(?:此|这条|這則|这则)(?:消息|訊息)"
    r"|diese nachricht wurde gelöscht|du hast diese nachricht gelöscht"
    r"|se eliminó este mensaje|este mensaje fue eliminado|eliminaste este mensaje"
    r"|ce message a été supprimé|vous avez supprimé ce message"
    r"|questo messaggio è stato eliminato|hai eliminato questo messaggio"
    r"|(?:esta|essa) mensagem foi apagada|mensagem apagada|(?:você )?apagou esta mensagem"
    r"|dit bericht is verwijderd|(?:u hebt|je hebt) dit bericht verwijderd"
    r"|(?:данное|это) сообщение (?:было )?удалено|вы удалили (?:данное|это) сообщение"
    r"|це повідомлення (?:було )?видалено|ви видалили це повідомлення"
    r"|tato zpráva byla (?:odstraněna|smazána)|tuto zprávu jste (?:odstranil|smazal)(?:/a|a)?"
    r"|ta wiadomość została usunięta|usunięto tę wiadomość|usunąłeś tę wiadomość"
    r"|このメッセージは削除されました|このメッセージを削除しました|メッセージを削除しました"
    r"|삭제된 메시지입니다|이 메시지는 삭제되었습니다|이 메시지를 삭제했습니다"
    r"|메시지를 삭제했습니다"
    r"|bu mesaj silindi|bu mesajı sildiniz"
    r"|pesan ini (?:telah )?dihapus|anda menghapus pesan ini|mesej ini telah dipadam|anda telah"
    r" memadam mesej ini"
    r"|tin nhắn này đã bị x(?:óa|oá)|bạn đã x(?:óa|oá) tin nhắn này"
    r"|ข้อความนี้ถูกลบแล้ว|คุณได้ลบข้อความนี้"
    r"|यह मैसेज डिलीट कर दिया गया(?: है)?|आपने यह मैसेज डिलीट किया|यह संदेश हटा दिया गया(?: है|"
    r" था)?"
    r"|تم حذف هذه الرسالة|لقد حذَ?فت هذه الرسالة|أنت حذفت هذه الرسالة|הודעה זו נמחקה|מחקת הודעה זו"
)
_CALL = re.compile(
    r"(?:missed )?(?:group )?(?:voice|video) call|silenced (?:voice|video) call"
    r"|(?:未接|未接听|已取消)?的?(?:语音|視訊|视频|語音|视讯)(?:通话|通話|来电|來電)|未接(?:来电|來電)"
    r"|(?:verpasster )?(?:sprach|video)anruf|(?:video)?llamada (?:de voz |grupal )?perdida|appel"
    r" (?:vocal|vidéo|audio) manqué"
    r"|chamada de (?:voz|vídeo) perdida|(?:chiamata vocale|videochiamata) persa|gemiste"
    r" (?:spraak|video-?)oproep"
    r"|пропущенный (?:аудио|видео)звонок|пропущений (?:голосовий|відео) ?дзвінок|zmeškaný"
    r" (?:hovor|videohovor|hlasový hovor)"
    r"|nieodebrane połączenie (?:głosowe|wideo)|(?:音声|ビデオ)?(?:通話の)?不在着信|부재중"
    r" (?:음성|영상) ?통화"
    r"|cevapsız (?:sesli|görüntülü) arama|panggilan (?:suara|video) tak terjawab|cuộc gọi"
    r" (?:thoại|video) nhỡ"
    r"|مكالمة (?:صوتية|فيديو) (?:فائتة|لم يُرد عليها)|छूटी हुई (?:वॉइस|वीडियो) कॉल|मिस्ड"
    r" (?:वॉइस|वीडियो) कॉल|ไม่ได้รับสาย(?:วิดีโอ)?"
)
# How the encryption notice begins. Some Android versions show the group's name as its sender,
# without a direction mark.
_ENCRYPTION = re.compile(
    r"messages (?:and calls are|you send to this (?:group|chat)(?: and calls)? are now secured"
    r" with) end-to-end encrypt"
    r"|(?:消息|信息)(?:和|与)?通话(?:已|都|均)?(?:进行|经过)?端(?:到|对)端加密|訊息(?:和|與)?通話都?(?:受到|已)?(?:透過)?端(?:對|到)端加密"
    r"|nachrichten und anrufe sind ende-zu-ende|los mensajes y las llamadas están cifrados|les"
    r" messages et les appels sont chiffrés"
    r"|i messaggi e le chiamate sono crittografat|as mensagens e (?:as )?(?:chamadas|ligações)"
    r" são|berichten en oproepen worden end-to-end"
    r"|сообщения и звонки защищены сквозным|повідомлення й дзвінки захищено наскрізним|zprávy a"
    r" hovory jsou (?:opatřeny|zabezpečeny)"
    r"|メッセージと通話はエンドツーエンド|메시지와 통화는 종단|mesajlar ve aramalar uçtan uca|pesan"
    r" dan panggilan terenkripsi"
    r"|tin nhắn và cuộc gọi được mã hóa|ข้อความและการโทรได้รับการเข้ารหัส|मैसेजेस और कॉल्स"
    r" एंड-टू-एंड|الرسائل والمكالمات مشفرة"
)
# Inside the angle brackets at the end of an edited message.
_EDITED = re.compile(
    r"edit|bearbeit|bewerkt|modifi|редактир|измен|змінен|upraven|edytowan|编辑|編輯|編集|수정|düzen|chỉnh"
    r" sửa|แก้ไข|تعديل|एडिट|संपादित"
)
# Before the colon in front of a file name (iOS).
_ATTACHED = re.compile(
    r"attach|adjunt|anhang|joint|anexad|allegat|bijgevoegd|bijlage|прикреп|вложен|přílo|přilož|załącz|附件|附加|添付|첨부|ekl|"
    r"lampir|đính kèm|แนบ|مرفق|إرفاق|संलग्न|מצורף|вкладен|bifog|vedhæft|liite"
)
# Inside the round brackets after a file name (Android).
_FILE_ATTACHED = re.compile(
    r"file attached|(?:文件)?附件|已附加文件|附加檔案|附件檔案|檔案已附加|archivo adjunto|datei"
    r" angehängt|fichier joint|arquivo anexado"
    r"|ficheiro anexado|file allegato|bestand bijgevoegd|файл"
    r" (?:добавлен|прикреплен|прикреплён|додано)|soubor byl přiložen"
    r"|plik dołączony|załączono plik|添付ファイル|ファイル添付|ファイルが添付されました|파일"
    r" 첨부됨|첨부 파일|dosya ekli|ekli dosya"
    r"|file terlampir|fail dilampirkan|tệp đính kèm|ไฟล์ที่แนบ|ملف مرفق|संलग्न फ़ाइल|फ़ाइल संलग्न"
    r" है|קובץ מצורף|fil bifogad"
    r"|fil vedhæftet|tiedosto liitetty"
)


# No phrase is longer. Longer texts, which are people's own, are not searched.
_MAX_PHRASE = 160


def _folded(text: str) -> str:
    return plain_text(text[:_MAX_PHRASE]).strip().rstrip(".。।").strip().casefold()


def _is_all(pattern: re.Pattern[str], text: str) -> bool:
    return len(text) <= _MAX_PHRASE and bool(pattern.fullmatch(_folded(text)))


def attachment_kind(placeholder: str) -> str | None:
    """Return the kind of attachment that a placeholder's words name, or None.

    The kinds are gif, sticker, contact, document, audio, video and image.

    >>> attachment_kind("image omitted"), attachment_kind("hello")
    ('image', None)
    """
    text = _folded(placeholder)
    return next(
        (kind for kind, words in _KINDS.items() if any(word in text for word in words.split("|"))),
        None,
    )


def media_type_of_kind(kind: str | None) -> str | None:
    """Return the media type, or its family (`video/*`), of a kind of attachment.

    >>> media_type_of_kind("sticker"), media_type_of_kind("video")
    ('image/webp', 'video/*')
    """
    return _MEDIA_TYPES.get(kind or "")


def media_type_of_file(name: str) -> str | None:
    """Return the media type of a file by its suffix, or None for an unknown one.

    >>> media_type_of_file("offer.pdf")
    'application/pdf'
    """
    return _TYPE_OF.get(name.rpartition(".")[2].casefold())


def is_placeholder(text: str) -> bool:
    """Return whether a whole text is WhatsApp's placeholder for omitted media.

    >>> is_placeholder("image omitted"), is_placeholder("the image omitted a lot")
    (True, False)
    """
    return _is_all(_LEFT_OUT, text)


def is_deleted(text: str) -> bool:
    """Return whether a whole text is WhatsApp's line for a deleted message.

    >>> is_deleted("This message was deleted.")
    True
    """
    return _is_all(_DELETED, text)


def is_call(text: str) -> bool:
    """Return whether a text starts with WhatsApp's line for a call.

    >>> is_call("Missed voice call at 10:02")
    True
    """
    return bool(_CALL.match(_folded(text)))


def is_call_only(text: str) -> bool:
    """Return whether a whole text is WhatsApp's line for a call.

    >>> is_call_only("Missed voice call"), is_call_only("Missed voice call at 10:02")
    (True, False)
    """
    return _is_all(_CALL, text)


def is_encryption_notice(text: str) -> bool:
    """Return whether a text starts like the notice of end-to-end encryption."""
    return bool(_ENCRYPTION.match(_folded(text)))


def is_edit_notice(text: str) -> bool:
    """Return whether the words in angle brackets say that the message was edited."""
    return bool(_EDITED.search(_folded(text)))


def is_attachment_prefix(text: str) -> bool:
    """Return whether the words before a colon and a file name say that it is attached (iOS)."""
    return bool(_ATTACHED.search(_folded(text)))


def is_attachment_suffix(text: str) -> bool:
    """Return whether the words in brackets after a file name say that it is attached (Android)."""
    return _is_all(_FILE_ATTACHED, text)
