"""Replies and signatures as Chinese, Japanese and Korean mail programs write them."""

import pytest

from pipeline.processors.clean.reply import split_reply

_REPLY = "您好，\n合同已收到，周四上午十点可以。"
_OLD = "请问下周哪天方便开会？\n\n李安"
# Text between the reply and the old mail.
_QUOTES = {
    "qq web": (
        '------------------&nbsp;原始邮件&nbsp;------------------\n发件人: "李安"'
        " <an@example.com>;\n"
        "发送时间: 2024年3月4日(星期一) 上午9:15\n"
        '收件人: "王波"<bo@example.com>;\n主题: 合同'
    ),
    "qq plain": (
        '------------------ 原始邮件 ------------------\n发件人: "an";<an@example.com>;\n'
        "发送时间: 2024年3月4日(星期一) 中午12:15\n主题: Re:合同"
    ),
    "qq original": (
        '------------------ Original ------------------\nFrom:  "李安"<an@example.com>;\n'
        "Date:  Mon, Mar 4, 2024 09:15 AM\n"
        'To:  "王波"<bo@example.com>;\nSubject:  Re: 合同'
    ),
    "wecom": (
        '------------------ Original message ------------------\nFrom: "李安"\n'
        'Date: 2024年3月4日(星期一) 上午9:15\nTo: "王波";\nSubject: 合同'
    ),
    "foxmail": (
        "\xa0\n发件人：\xa0李安\n发送时间：\xa02024-03-04\xa009:15\n收件人：\xa0王波\n"
        "主题：\xa0Re: 合同"
    ),
    "foxmail en": "\nFrom: an@example.com\nDate: 2024-03-04 09:15\nTo: 王波\nSubject: Re: 合同",
    "163": '在 2024-03-04 09:15:22，"李安" <an@163.com> 写道：',
    "163 narrow": "在2024-03-04 09:15:22，李安<an@163.com> 写道：",
    "163 en": 'At 2024-03-04 09:15:22, "李安" <an@163.com> wrote:',
    "163 old": '在2010-03-04，"an" <an@163.com> 写道：',
    "netease master": (
        "---- 回复的原邮件 ----\n| 发件人 | 李安<an@163.com> |\n| 发送日期 | 2024年03月04日"
        " 09:15 |\n"
        "| 收件人 | 王波 |\n| 主题 | 合同 |"
    ),
    "netease replied": (
        "---- Replied Message ----\n| From | 李安<an@163.com> |\n| Date | 03/04/2024 09:15 |\n| To"
        " | 王波 |\n| Subject | 合同 |"
    ),
    "aliyun": (
        "------------------------------------------------------------------\n发件人：李安"
        " <an@example.com>\n发送时间：2024年3月4日(星期一) 09:15\n收件人：王波"
        " <bo@example.com>\n主　题：Re:合同"
    ),
    "sina": (
        '----- 原始邮件 -----\n发件人：an@sina.com\n收件人："王波" <bo@example.com>\n主题：合同\n'
        "日期：2024年03月04日 09点15分"
    ),
    "139": (
        '----邮件原文----\n发件人:"李安" <an@139.com>\n收件人:王波 <bo@example.com>\n抄 送: (无)\n'
        "发送时间:2024-03-04 09:15:22\n主题:合同"
    ),
    "outlook zh-CN": (
        "发件人: 李安 <an@example.com>\n发送时间: 2024年3月4日 9:15\n收件人: 王波"
        " <bo@example.com>\n"
        "抄送: 销售部\n主题: 答复: 合同"
    ),
    "outlook zh-CN classic": (
        "-----邮件原件-----\n发件人: 李安 [mailto:an@example.com]\n发送时间: 2024年3月4日"
        " 9:15\n收件人: 王波\n"
        "主题: 合同"
    ),
    "outlook zh-CN web": (
        "________________________________\n发件人: 李安 <an@example.com>\n发送时间: 2024年3月4日"
        " 9:15\n"
        "收件人: 王波\n主题: 合同"
    ),
    "outlook zh-CN bold": (
        "*发件人:* 李安\n*发送时间:* 2024年3月4日 9:15\n*收件人:* 王波\n*主题:* 合同"
    ),
    "outlook zh-TW": (
        "寄件者: 李安 <an@example.com>\n寄件日期: 2024年3月4日 上午 09:15\n收件者: 王波"
        " <bo@example.com>\n"
        "主旨: RE: 合約"
    ),
    "original zh-TW": "-----原始郵件-----\n寄件者: 李安\n收件者: 王波\n主旨: 合約",
    "outlook mac": "在 2024/3/4 上午9:15，“李安”<an@example.com> 写入:",
    "gmail zh-CN": "李安 <an@example.com> 于2024年3月4日周一 09:15写道：",
    "gmail zh-CN wrapped": (
        "李安（项目一部） <\nan.li.project@example.com> 于2024年3月4日周一\n上午9:15写道："
    ),
    "gmail zh-CN no address": "李安 于2024年3月4日周一 上午9:15写道：",
    "gmail zh-TW": "李安 <an@example.com> 於 2024年3月4日 週一 上午9:15寫道：",
    "gmail zh-HK": "李安 <an@example.com> 於 2024年3月4日週一 下午3:15 寫道：",
    "gmail old zh": "在 2014年3月4日 上午9:15，李安 <an@example.com>写道：",
    "gmail ancient zh": "2012/3/4 李安 <an@example.com>",
    "apple zh-CN": "在 2024年3月4日，上午9:15，李安 <an@example.com> 写道：",
    "apple zh-CN new": "2024年3月4日 上午9:15，李安 <an@example.com> 写道：",
    "apple zh-CN 24h": "在 2024年3月4日，09:15，李安 <an@example.com> 写道：",
    "apple zh-TW": "李安 <an@example.com> 於 2024年3月4日 上午9:15 寫道：",
    "thunderbird zh": "在 2024/3/4 9:15, 李安 写道:",
    "date first zh": "2024年3月4日 周一 09:15 李安 <an@example.com> 写道：",
    "name in zh": "李安 <an@example.com> 在 2024年3月4日 周一 09:15 写道：",
    "apple forward zh": (
        "下面是被转发的邮件：\n\n发件人: 李安 <an@example.com>\n日期: 2024年3月4日 GMT+8"
        " 09:15\n主题: 合同"
    ),
    "apple forward zh-TW": (
        "開始轉寄郵件：\n\n寄件人: 李安 <an@example.com>\n主旨: 合約\n日期: 2024年3月4日"
    ),
    "gmail forward zh": (
        "---------- Forwarded message ---------\n发件人： 李安 <an@example.com>\nDate:"
        " 2024年3月4日周一 09:15\nSubject: 合同"
    ),
    "forward 163": (
        "---------- 转发的邮件 ----------\n发件人：李安 <an@163.com>\n日期：2024-03-04 09:15\n"
        "主题：合同"
    ),
    "lark": (
        '发件人: "李安"<an@example.com>\n日期: 2024年3月4日 (周一) 09:15\n主题: 合同\n收件人:'
        ' "王波"<bo@example.com>'
    ),
    "helpdesk zh": "## 请在此行以上回复 ##\n\n您的工单 4711 已更新。",
    "gmail ja": "2024年3月4日(月) 9:15 李安 <an@example.com>:",
    "gmail ja wrapped": "2024年3月4日(月) 9:15 株式会社例 営業部 李安 <\nan@example.com>:",
    "apple ja": "2024/03/04 9:15、李安 <an@example.com>のメール:",
    "apple ja new": "2024/03/04 9:15、李安 <an@example.com>のメッセージ:",
    "thunderbird ja": "On 2024/03/04 9:15, 李安 wrote:",
    "outlook ja": (
        "差出人: 李安 <an@example.com>\n送信日時: 2024年3月4日 9:15\n宛先: 王波"
        " <bo@example.com>\n件名: RE: 契約"
    ),
    "outlook ja en": (
        "From: 李安 <an@example.com>\nSent: Monday, March 4, 2024 9:15 AM\nTo: 王波\nSubject:"
        " RE: 契約"
    ),
    "original ja": (
        "-----元のメッセージ-----\n差出人: 李安\n送信日時: 2024年3月4日\n宛先: 王波\n件名: 契約"
    ),
    "gmail ko": "2024년 3월 4일 (월) 오전 9:15, 이안 <an@example.com>님이 작성:",
    "apple ko": "2024. 3. 4. 오전 9:15, 이안 <an@example.com> 작성:",
    "outlook ko": (
        "보낸 사람: 이안 <an@example.com>\n보낸 날짜: 2024년 3월 4일 월요일 오전 9:15\n받는 사람:"
        " 왕보\n제목: 계약"
    ),
    "naver": (
        '-----Original Message-----\nFrom: "이안"<an@naver.com>\nTo: <bo@example.com>\nCc:\n'
        "Sent: 2024-03-04 (월) 09:15:22\nSubject: 계약"
    ),
    "daum": (
        "--------- 원본 메일 ---------\n보낸사람 : 이안 <an@daum.net>\n받는사람 : 왕보\n"
        "날짜: 2024년 3월 4일 월요일\n제목: 계약"
    ),
}


@pytest.mark.parametrize("name", _QUOTES)
@pytest.mark.parametrize("gap", ["\n\n", "\n"])
def test_quote_is_cut(name: str, gap: str) -> None:
    split = split_reply(f"{_REPLY}{gap}{_QUOTES[name]}\n\n{_OLD}\n")
    assert split.reply == _REPLY
    assert "李安" in split.quoted or "工单" in split.quoted
    assert split.signature == ""
    assert len(split.rules) == 1


@pytest.mark.parametrize("name", [name for name in _QUOTES if name not in ("helpdesk zh",)])
def test_prefixed_quote_is_cut_and_the_answer_below_is_kept(name: str) -> None:
    old = "\n".join(f"> {line}".rstrip() for line in _OLD.split("\n"))
    split = split_reply(f"{_QUOTES[name]}\n\n{old}\n\n{_REPLY}\n")
    assert split.reply == _REPLY
    assert split.flags[:2] == ("inline_reply", "bottom_reply")


_SIGNATURES = {
    "closing": "此致\n敬礼\n\n王波",
    "closing one line": "此致敬礼！\n王波",
    "zhu hao": "祝好！\n王波",
    "shang qi": "顺祝商祺\n王波\n销售经理",
    "song": "顺颂\n商祺！\n\n王波 敬上",
    "trad": "順頌商祺\n王波 敬上",
    "best wishes": "祝您工作顺利！\n\n王波\n例子科技有限公司",
    "thanks and name": "谢谢！\n王波",
    "contact": (
        "王波\n销售经理 | 例子科技有限公司\n电话：010-8888"
        " 6666\n手机：13800138000\n地址：北京市海淀区中关村大街1号"
    ),
    "closing and contact": (
        "Best regards,\n王波 Bo Wang\n例子科技有限公司 海外销售部\nTel: +86 10 8888 6666\n"
        "E-mail: bo@example.com\n网址：www.example.com"
    ),
    "delimiter": "--\n王波\n例子科技有限公司",
    "long rule": "——————————————————\n王波\n例子科技有限公司\n电话：010-8888 6666",
    "dashes": "---------------\n王波\n手机：13800138000",
    "iphone": "发自我的iPhone",
    "iphone tw": "從我的 iPhone 傳送",
    "huawei": "发自我的华为手机",
    "netease": "发自网易邮箱大师",
    "qq mail": "来自 iPhone 版 QQ邮箱",
    "windows": "发送自 Windows 10 版邮件应用",
    "outlook": "获取 Outlook for iOS",
    "foxmail": "从我的 Android 手机发送",
    "disclaimer": (
        "本邮件及其附件含有某某公司的保密信息，仅限于发送给上面地址中列出的个人或群组。"
        "禁止任何其他人以任何形式使用。"
    ),
    "name and disclaimer": "祝好\n王波\n\n免责声明：本邮件仅供收件人阅读。",
    "ja device": "iPhoneから送信",
    "ja rule": (
        "-----------------------------\n株式会社例 営業部\n山田 太郎\nTEL: 03-1234-5678\n"
        "E-mail: taro@example.com\n-----------------------------"
    ),
    "ko device": "나의 iPhone에서 보냄",
    "ko closing": "감사합니다.\n이안 드림",
}


@pytest.mark.parametrize("name", _SIGNATURES)
@pytest.mark.parametrize(
    "quote", ["", "\n\n李安 <an@example.com> 于2024年3月4日周一 09:15写道：\n\n请问下周？\n"]
)
def test_signature_is_cut(name: str, quote: str) -> None:
    split = split_reply(f"{_REPLY}\n\n{_SIGNATURES[name]}{quote}")
    assert split.reply == _REPLY
    assert split.signature == _SIGNATURES[name]


_KEPT = {
    "thanks alone": "麻烦尽快处理。\n谢谢！",
    "address to ship to": "请寄到以下地址：\n王波\n北京市海淀区中关村大街1号\n电话：13800138000",
    "heartfelt": "你们的服务很好。\n\n发自内心的感谢",
    "shipped from": "请问货物\n从上海发出\n要几天？",
    "wish inside": (
        "祝您生意兴隆！另外，我的订单 123 还没有发货，已经等了一周，请帮我查一下。\n"
        "期待您的答复，也请告诉我运费怎么算。"
    ),
    "closing then prose": (
        "谢谢\n王波说他昨天已经付款了，请核实一下到账情况，如果没有到账请告诉我们。"
    ),
    "question": "好的\n明天几点？",
    "order form": "订单：4711\n姓名：王波\n电话：13800138000",
    "dash list": "需要修改：\n- 数量\n- 单价",
}


@pytest.mark.parametrize("name", _KEPT)
def test_text_of_the_author_is_kept(name: str) -> None:
    split = split_reply(_KEPT[name])
    assert split.reply == _KEPT[name]
    assert split.rules == ()
