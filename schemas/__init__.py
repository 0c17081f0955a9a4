"""The contracts: every field, topic and event type, declared once; the tables of the history."""
