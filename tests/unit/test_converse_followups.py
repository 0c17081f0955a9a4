"""Promises and requests in English and Chinese: precision and recall on a labelled set."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipeline.processors.converse.business_hours import default_hours, parse_hours
from pipeline.processors.converse.followups import FollowUpMatch, promises_in, requests_in

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = default_hours(ZONE)
# A Thursday, ten in the morning.
SAID = datetime(2026, 11, 19, 10, 0, tzinfo=ZONE)

EN_PROMISES = """
I will call you back tomorrow.
I'll call you back this afternoon at 3pm.
We'll get back to you by Friday 5pm.
We will reply within 24 hours.
Our technician will give you a call on Monday morning.
I'll check with the warehouse and get back to you shortly.
Let me look into this and get back to you today.
You will hear from us within 3 business days.
Someone from our team will contact you tomorrow.
I'm going to ring you first thing tomorrow.
Will get back to you soon.
I'll let you know by Wednesday whether it is in stock.
We'll keep you posted.
Kevin will phone you at 2 pm.
I will send you the quote by tomorrow noon.
Your refund will be processed within 5 working days.
Thanks for your patience, we'll be in touch next week.
I'll have my colleague call you later today.
We shall revert to you by end of day.
You'll receive a call from our manager on Tuesday.
Expect a reply from us by Monday.
As promised, I will follow up with you on Friday.
Sorry about the delay - I'll update you before noon.
We are going to contact you by phone within the hour.
No problem, I'll email you the invoice this evening.
I'll see if the blue one is still there and let you know tomorrow.
We promise to get back to you within two working days.
Sure, I will be back in touch once I have spoken to the courier.
I will try to call you before 6 pm.
We'll look into it and update you as soon as possible.
My colleague Wei will reach out to you later.
Your complaint will be answered within 48 hours.
Our repair team will fix it by Thursday and let you know.
"""

EN_NO_PROMISES = """
I called you back yesterday but nobody answered.
Will you call me back?
We will not call you about this again.
If you send me the order number, I will call you back.
I can't call you back today.
Thanks for calling us.
You can call us any time on weekdays.
Please call me back on Monday.
When will you be at home?
We will never call you to ask for your password.
Let me know if you have any questions.
I'll let you know when it arrives.
We'll contact you as soon as your parcel is here.
The courier will call you before delivery.
Once we receive the goods we will refund you within 5 days.
I told you we would get back to you.
Nobody will call you about it.
The kettle keeps the water hot within a range of 2 degrees.
Shall I call you tomorrow?
We sent you the invoice this morning.
She said she had called you back.
The system will send you an email automatically.
We won't be able to reply before Monday.
Do you want us to call you back tomorrow?
I would call you, but I have no number.
We will refund the money.
Our office is closed until Monday.
He wrote "I will call you back tomorrow" and never did.
You will find the manual in the box.
Feel free to reach out any time.
Unless you object, we will contact you next week.
We are calling this model the traveller.
Keep in touch!
"""

EN_REQUESTS = """
Please call me back on Monday.
Could you call me back tomorrow afternoon?
Call me at 415 555 0123 after 5pm.
Can someone give me a call today?
I'd like a call back please.
Please ring me before noon.
Please have your manager call me.
Give me a call when convenient, tomorrow is fine.
I would appreciate a phone call from your technician.
Would you please phone me on Friday?
Please reply by Friday.
I need an answer before Monday.
Could you get back to me by tomorrow?
Please let me know by end of day.
If possible, call me back this evening.
I want someone to call me today.
"""

EN_NO_REQUESTS = """
Will you call me back?
Please don't call me again.
Nobody called me back.
Why did you call me yesterday?
Your agent was supposed to call me back on Monday.
Thanks for the call back.
I never got a call from you.
I will call you back tomorrow.
Please let me know if it is in stock.
What do you call this colour?
They call me Bob.
You called me twice today.
Please stop calling me.
Could you tell me why nobody called me?
Please reply.
There is no need to call me.
"""

ZH_PROMISES = """
明天给您回电。
稍后联系您。
下周一之前答复您。
我们会在24小时内回复您。
3个工作日内处理。
我核实一下，马上给您回复。
明天上午10点我给您打电话。
我们的工程师会在今天下午致电给您。
好的，我帮您查一下，稍后回复您
请您放心，我们会尽快跟进，周五前给您答复。
明天給您回電話。
我們會在三個工作天內回覆您。
稍後由專員與您聯絡。
您好，这边已收到，明天下午三点前给您回复。
主管会在半小时内给您回电话。
我待会儿打给您。
这个问题我反馈给仓库了，今天下班前给您一个准信。
晚点我再联系您哈
我先问一下师傅，回头告诉您。
您的退款我们会在2个工作日内处理完成。
预计明天安排补发，单号我晚上发给您。
放心，后天之前一定给您答复。
技术同事会在一小时内电话联系您。
我们尽快核实，第一时间通知您。
稍等，我这就去问，10分钟后回您电话。
我明早给你打电话。
售后会在1-2个工作日内联系您处理。
收到，周三我再和您确认。
今晚八点前给你消息。
我们将于12月5日前回复您。
您先休息，明天我给您回电话。
非常抱歉，我们会尽快给您一个答复。
這個我跟主管確認後，明天下午回覆您。
"""

ZH_NO_PROMISES = """
昨天给您回电了，没人接。
您明天给我回电话吗？
我们不会给您打电话索要密码。
如果有货，我们会通知您。
请您24小时内联系我们。
已经回复您了，请查看邮件。
您可以随时致电我们。
麻烦您尽快回复。
收到货后我们会给您退款。
刚才给您打过电话，您没有接。
需要我明天给您回电吗？
快递员会提前给您打电话。
您的订单已发货。
有结果会第一时间通知您。
什么时候方便，我给您打电话？
请注意，系统会自动通知您。
抱歉，今天无法给您回复。
您之前联系过哪位同事？
我联系不上您。
请在3天内付款。
一旦到货我们马上联系您。
感谢您的来电。
不用给我回电话了。
要是您同意，我明天给您打电话。
联系方式已发给您。
这款壶24小时内可以保温。
请问您方便留个电话吗？
他昨晚已致电客户说明情况。
您付款后我们会在两天内发货。
我们从不主动联系您转账。
明天给您回电可以吗？
您什么时候能回复我？
未经您同意，我们不会联系您。
"""

ZH_REQUESTS = """
麻烦周一下午给我回电话
请明天上午打电话给我。
下午三点后打给我
能给我回个电话吗？
请尽快给我回电。
麻煩星期三給我回個電話。
让你们主管给我打个电话
周五之前请回复我。
请在24小时内给我答复。
我现在不方便，晚上八点再打给我吧
希望你们今天电话联系我。
别忘了明天给我回电话。
麻烦安排人给我来个电话
请三天之内给我一个说法。
方便的话明天给我来电话
明天下午2点给我打电话，谢谢
"""

ZH_NO_REQUESTS = """
不要给我打电话了。
昨天你们打电话给我说有货。
你们会给我回电话吗？
为什么一直没人给我回电话？
是谁给我打电话的？
请告诉我明天几点开门。
接到你们打给我的电话了。
打了三次电话都打不通。
谢谢你们的回复。
刚才给我打过电话吗？
我给你们打电话没人接。
说好明天给我回电话的，怎么没打？
别再联系我。
请问电话是多少？
什么时候给我回电话？
明天能到货吗？
"""

Finder = Callable[[str, datetime, object], Sequence[FollowUpMatch]]


def _lines(block: str) -> list[str]:
    return [line for line in block.strip().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("name", "find", "yes", "no"),
    [
        ("English promises", promises_in, EN_PROMISES, EN_NO_PROMISES),
        ("English requests", requests_in, EN_REQUESTS, EN_NO_REQUESTS),
        ("Chinese promises", promises_in, ZH_PROMISES, ZH_NO_PROMISES),
        ("Chinese requests", requests_in, ZH_REQUESTS, ZH_NO_REQUESTS),
    ],
)
def test_precision_and_recall_of_follow_ups(name: str, find: Finder, yes: str, no: str) -> None:
    missed = [line for line in _lines(yes) if not find(line, SAID, HOURS)]
    wrong = [line for line in _lines(no) if find(line, SAID, HOURS)]
    hits = len(_lines(yes)) - len(missed)
    precision, recall = hits / (hits + len(wrong)), hits / len(_lines(yes))
    print(
        f"{name}: {len(_lines(yes))} + {len(_lines(no))} sentences, precision {precision:.3f},"
        f" recall {recall:.3f}"
    )
    print("  missed:", *missed, sep="\n    ")
    print("  wrong:", *wrong, sep="\n    ")
    assert precision >= 0.95, wrong
    assert recall >= 0.9, missed


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("I will call you back tomorrow", "2026-11-20 18:00"),
        ("I'll call you tomorrow at 3 p.m.", "2026-11-20 15:00"),
        ("we'll get back to you by Friday 5pm", "2026-11-20 17:00"),
        ("We'll get back to you before Monday.", "2026-11-23 09:00"),
        ("We will reply within 24 hours", "2026-11-20 10:00"),
        ("We will reply within 3 business days", "2026-11-24 18:00"),
        ("We will get back to you in 2-3 working days", "2026-11-24 18:00"),
        ("We will reply within 4 business hours", "2026-11-19 14:00"),
        ("I'll call you back in half an hour.", "2026-11-19 10:30"),
        ("I'll call you back in a couple of hours.", "2026-11-19 12:00"),
        ("I'll call you back this afternoon.", "2026-11-19 18:00"),
        ("We'll be in touch next week.", "2026-11-27 18:00"),
        ("I'll ring you next Tuesday morning.", "2026-11-24 12:00"),
        ("I'll ring you on Thursday.", "2026-11-26 18:00"),
        ("We'll reply by 5 December.", "2026-12-05 18:00"),
        ("We'll reply by Jan 8.", "2027-01-08 18:00"),
        ("I'll update you before noon.", "2026-11-19 12:00"),
        ("I'll update you by 9 am.", "2026-11-20 09:00"),
        ("明天给您回电", "2026-11-20 18:00"),
        ("明天上午10点给您打电话", "2026-11-20 10:00"),
        ("明天下午三点半给您打电话", "2026-11-20 15:30"),
        ("下周一之前答复您", "2026-11-23 18:00"),
        ("周五前给您答复", "2026-11-20 18:00"),
        ("本周五下午給您回電話", "2026-11-20 18:00"),
        ("24小时内回复您", "2026-11-20 10:00"),
        ("半小时内给您回电话", "2026-11-19 10:30"),
        ("两个半小时内联系您", "2026-11-19 12:30"),
        ("3个工作日内处理", "2026-11-24 18:00"),
        ("會在三個工作天內回覆您", "2026-11-24 18:00"),
        ("3-5个工作日内回复您", "2026-11-26 18:00"),
        ("后天给您答复", "2026-11-21 18:00"),
        ("今晚八点前给您消息，稍后联系", "2026-11-19 20:00"),
        ("今天下班前给您回复", "2026-11-19 18:00"),
        ("12月5日前回复您", "2026-12-05 18:00"),
        ("下周会给您回复", "2026-11-27 18:00"),
        ("我会在10:30给您打电话", "2026-11-19 10:30"),
    ],
)
def test_a_stated_time_is_the_due_time(text: str, due: str) -> None:
    (found,) = promises_in(text, SAID, HOURS)
    assert found.due_stated
    assert found.due_at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M") == due


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("I will get back to you right away", "2026-11-19 11:00"),
        ("马上给您回复", "2026-11-19 11:00"),
        ("稍后联系您", "2026-11-19 14:00"),
        ("I will get back to you shortly", "2026-11-19 14:00"),
        ("我们会尽快联系您", "2026-11-19 18:00"),
        ("I will get back to you", "2026-11-19 18:00"),
    ],
)
def test_without_a_stated_time_one_in_business_time_is_assumed(text: str, due: str) -> None:
    (found,) = promises_in(text, SAID, HOURS)
    assert not found.due_stated
    assert found.due_at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M") == due


def test_today_said_in_the_evening_is_due_at_midnight() -> None:
    (found,) = promises_in("I'll get back to you today.", SAID.replace(hour=20), HOURS)
    assert found.due_at == datetime(2026, 11, 20, tzinfo=ZONE)


def test_working_days_skip_holidays_and_include_make_up_days() -> None:
    hours = parse_hours(
        ("Mon-Fri 09:00-18:00",),
        ZONE,
        [date(2026, 10, day) for day in (1, 2, 5, 6, 7)],
        [date(2026, 10, 10)],
    )
    said = datetime(2026, 9, 30, 17, tzinfo=ZONE)
    (found,) = promises_in("我们会在3个工作日内回复您", said, hours)
    assert found.due_at == datetime(2026, 10, 10, 18, tzinfo=ZONE)


def test_a_time_of_day_is_local_across_a_clock_change() -> None:
    berlin = default_hours(ZoneInfo("Europe/Berlin"))
    (found,) = promises_in(
        "I'll call you on Monday at 10:00.", datetime(2026, 10, 23, 8, tzinfo=UTC), berlin
    )
    assert found.due_at == datetime(2026, 10, 26, 9, tzinfo=UTC)


def test_each_sentence_is_a_promise_with_its_way() -> None:
    found = promises_in(
        "We will refund you within 2 days. I'll call you tomorrow!\n稍后联系您。", SAID, HOURS
    )
    assert [one.way for one in found] == ["any", "call", "any"]
    assert found[0].due_at == SAID + timedelta(days=2)


def test_every_due_time_lies_after_its_promise() -> None:
    for block in (EN_PROMISES, ZH_PROMISES):
        for line in _lines(block):
            for hour in (0, 8, 12, 19, 23):
                said = SAID.replace(hour=hour)
                assert all(one.due_at > said for one in promises_in(line, said, HOURS)), line
