"""From converse's contracts to rows: conversations, facts, follow-ups, record flags, each a table
whose columns are its fields.
"""

from __future__ import annotations

from pipeline.sinks.table_columns import Table, mirror
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.types import Contract

CONVERSATION_TABLES: dict[type[Contract], tuple[Table, ...]] = {
    Conversation: (mirror(Conversation, "conversation_rows"),),
    ConversationFact: (mirror(ConversationFact, "conversation_fact_rows"),),
    FollowUp: (mirror(FollowUp, "followup_rows"),),
    RecordFlag: (mirror(RecordFlag, "record_flag_rows"),),
}
