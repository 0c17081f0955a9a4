"""Small valid inputs for every connector, from which the fuzzers make broken ones, and options."""

from __future__ import annotations

import base64
from datetime import UTC

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.port import IngestOptions

PLAIN_MAIL = (
    b"Return-Path: <an.li@example.com>\nReceived: from mx.example.com (mx.example.com"
    b" [192.0.2.7])\n\tby shop.example.net with ESMTP; Mon, 2 Nov 2026 09:00:03 +0800\nMessage-ID:"
    b" <one.1@example.com>\nDate: Mon, 2 Nov 2026 09:00:01 +0800\nFrom: =?utf-8?B?"
    + base64.b64encode("李安".encode())
    + b"?= <an.li@example.com>\n"
    b"To: Support <support@shop.example.net>, sales@shop.example.net\n"
    b"Subject: =?gb2312?B?" + base64.b64encode("订单没有收到".encode("gb2312")) + b"?=\n"
    b"MIME-Version: 1.0\n"
    b"Content-Type: text/plain; charset=utf-8\n"
    b"Content-Transfer-Encoding: 8bit\n"
    b"\n" + "你好，\n\n我的订单 A-1001 还没有到。\nFrom here it looks lost.\n\n-- \n李安\n".encode()
)
ALTERNATIVE_MAIL = (
    b"From: support@shop.example.net\r\nTo: an.li@example.com\r\nCc:"
    b" boss@shop.example.net\r\nSubject: Re: your\r\n order\r\nDate: Tue, 03 Nov 2026 08:12:00"
    b" GMT\r\nMessage-ID: <two@shop.example.net>\r\nIn-Reply-To: <one.1@example.com>\r\nReferences:"
    b" <zero@example.com>\r\n <one.1@example.com>\r\nContent-Type: multipart/mixed;"
    b' boundary="outer"\r\nMIME-Version: 1.0\r\n\r\nFor old readers.\r\n--outer\r\nContent-Type:'
    b' multipart/alternative; boundary="inner"\r\n\r\n--inner\r\nContent-Type: text/plain;'
    b" charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nIt is on its way=2C"
    b" caf=E9 style.=\r\n Really.\r\n\r\n> where is it?\r\n--inner\r\nContent-Type: text/html;"
    b" charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes("<p>It is <b>on its way</b> &amp; safe 😀</p>".encode()).replace(
        b"\n", b"\r\n"
    )
    + b'--inner--\r\n--outer\r\nContent-Type: image/png; name="r.png"\r\nContent-Disposition:'
    b" attachment; filename*=utf-8''%E5%8F%91.png\r\nContent-Transfer-Encoding:"
    b" base64\r\n\r\niVBORw0KGgoAAAANSUhEUg==\r\n--outer--\r\n"
)
BOUNCE_MAIL = (
    b"From: MAILER-DAEMON@mx.example.com\nTo: support@shop.example.net\nSubject: Undelivered\nDate:"
    b" Wed, 4 Nov 2026 10:00:00 -0500 (EST)\nAuto-Submitted: auto-replied\nMIME-Version:"
    b" 1.0\nContent-Type: multipart/report; report-type=delivery-status;"
    b" boundary=b1\n\n--b1\n\nNobody here.\n--b1\nContent-Type:"
    b" message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\nFinal-Recipient: rfc822;"
    b" gone@example.com\nAction: failed\nStatus: 5.1.1\n--b1\nContent-Type: message/rfc822\n\n"
    + PLAIN_MAIL
    + b"\n--b1--\n"
)
CALENDAR_MAIL = (
    b"From: Zo\xeb <zoe@example.org>\nTo: undisclosed-recipients:;\nSubject: Rendez-vous\nDate: 5"
    b" Nov 26 7:00 CET\nContent-Type: text/calendar; method=REQUEST;"
    b" charset=windows-1252\nX-Priority:"
    b" 1\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:D\xe9mo\nEND:VEVENT\nEND:VCALENDAR\n"
)
MBOX = (
    b"From an.li@example.com Mon Nov  2 09:00:05 2026\n"
    + PLAIN_MAIL.replace(b"\nFrom here", b"\n>From here")
    + b"\nFrom support@shop.example.net Tue Nov  3 08:12:10 2026\n"
    + ALTERNATIVE_MAIL.replace(b"\r\n", b"\n")
    + b"\nFrom MAILER-DAEMON Wed Nov  4 10:00:00 2026\n"
    + BOUNCE_MAIL.replace(b"\nFrom here", b"\n>From here")
    + b"\n"
)
CALLS = (
    b'"","13800000021","800","from-trunk","""13800000021""'
    b' <13800000021>","PJSIP/trunk-00000011","PJSIP/801-00000012","Dial","PJSIP/801&PJSIP/802,25,tT","2026-11-02'
    b' 09:31:12","2026-11-02 09:31:20","2026-11-02'
    b' 09:34:18",186,178,"ANSWERED","DOCUMENTATION","1793583072.17","","","1793583072.17",0\n"","13800000021","800","from-trunk","""13800000021""'
    b' <13800000021>","PJSIP/trunk-00000011","PJSIP/802-00000013","Dial","PJSIP/801&PJSIP/802,25,tT","2026-11-02'
    b' 09:31:12",,"2026-11-02 09:31:20",8,0,"NO'
    b' ANSWER","DOCUMENTATION","1793583072.17","","","1793583072.17",1\n"","anonymous","800","from-trunk","""anonymous""'
    b' <anonymous>","SIP/trunk-00000014","","Hangup","","2026-11-03 10:00:00",,"2026-11-03'
    b' 10:00:25",25,0,"BUSY","DOCUMENTATION","1793671200.20","","","1793671200.20",2\n'
)
CHAT_IOS = (
    "[02/11/2026, 09:14:07] Emma: \u200eMessages and calls are end-to-end encrypted.\r\n"
    "[02/11/2026, 16:21:40] Emma: Hi, is the teapot\r\nstill there? 😄\r\n"
    "\u200e[13/11/2026, 16:22:01] Emma: \u200eimage omitted\r\n"
    "[13/11/2026, 16:25:02] Huiming Tea: Yes: one left.\r\n"
).encode()
CHAT_ANDROID_ZH = (
    "2026/11/2 上午9:02 - 消息和通话已进行端到端加密。只有此对话中的人可以读取、收听或分享。\n"
    "2026/11/2 上午9:03 - 林小姐: 你好，我的订单还没到\n"
    "2026/11/2 下午1:05 - 惠茗茶器: 正在查，稍等\n谢谢\n"
    "2026/11/13 下午1:06 - 林小姐: <媒体文件已忽略>\n"
).encode()
EVENTS = (
    '{"specversion":"1.0","id":"m1","source":"shop/web","type":"comm.message.received","time":"2026-11-02T10:00:00Z",'
    '"data":{"channel":"chat","direction":"inbound","conversation":"c1","from":{"phone":"+8613800000001","name":"示例"},'
    '"text":"请问有货吗？"}}\n'
    '{"specversion":"1.0","id":"o1","source":"shop/web","type":"crm.order.paid","time":"2026-11-02T11:20:00+08:00",'
    '"data":{"order_id":"SO-1","customer":{"email":"c1@example.com"},"amount":"129.00","currency":"CNY",'
    '"items":[{"sku":"A1","quantity":2}]}}\n\n'
    '{"specversion":"1.0","id":"e1","source":"mail","type":"comm.message.received",'
    '"data":{"channel":"email","subject":"hi","text":"hello"}}\n'
).encode()
ORDERS = (
    "occurred_at,action,order_id,customer_id,customer_name,customer_email,customer_phone,amount,currency,items,payment_method,reason,channel\n2026-11-02"
    " 10:19:50,created,SO-1,C1,李娜,li.na@example.com,+86 138 0000"
    ' 0023,147.00,CNY,HM-MG02*1;HM-GW120*1,,,web\n2026-11-02 10:20:05,paid,SO-1,C1,"李'
    ' ""娜""",li.na@example.com,,"1,147.00",CNY,HM-MG02*1,支付宝,,web\n2026-11-05'
    " 10:20:05,refunded,SO-1,C1,李娜,,,47.00,CNY,,支付宝,破损,web\n"
).encode()
FEEDBACK = (
    "occurred_at,feedback_id,customer_id,customer_name,customer_email,customer_phone,kind,rating,scale_max,text,target\r\n2026-11-07"
    " 20:15:00,F-1,C1,李娜,li.na@example.com,,rating,5,5,做工好，店主人也好,SO-1\r\n2026-11-08"
    ' 20:15:00,F-2,,,zoe@example.org,,suggestion,,,"A longer\r\ncord, please",SO-2\r\n'
).encode()
COMPLAINTS = (
    "\ufeff时间,动作,投诉编号,客户姓名,电话,邮箱,投诉原因,投诉内容,投诉处理,投诉结果,订单号\n2026-11-12"
    " 23:10:00,opened,C-1,Daniel,+1 415 555 0123,d@example.com,billing,charged"
    " twice,,,SO-1\n2026-11-14 11:20:00,closed,C-1,Daniel,+1 415 555"
    " 0123,d@example.com,billing,,重复扣款已退回,refunded,SO-1\n"
).encode()
CUSTOMERS = (
    "occurred_at,customer_id,customer_name,customer_email,customer_phone,address,city,source,gender,birth_year,segment\n2026-11-02"
    " 10:25:00,C1,李娜,li.na@example.com,+86 138 0000"
    " 0023,杭州市示例街6号,杭州,朋友推荐,女,1988,老客户\n2026-11-03"
    " 09:05:00,C2,Zoë,zoe@example.org,,,Paris,,,,\n"
).encode()

SEEDS: dict[str, tuple[bytes, ...]] = {
    "email": (PLAIN_MAIL, ALTERNATIVE_MAIL, BOUNCE_MAIL, CALENDAR_MAIL, MBOX),
    "asterisk-cdr": (CALLS,),
    "whatsapp-export": (CHAT_IOS, CHAT_ANDROID_ZH),
    "events": (EVENTS,),
    "orders": (ORDERS,),
    "feedback": (FEEDBACK,),
    "complaints": (COMPLAINTS,),
    "customers": (CUSTOMERS,),
}

OWN = OwnSide(("shop.example.net", "800", "801", "802", "惠茗茶器", "Huiming Tea"), region="CN")
OPTIONS = IngestOptions(source="seeds", zone=UTC, own=OWN)
