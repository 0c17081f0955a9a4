"""Converse: conversations, facts, follow-ups and flags of a contact point, as a pure fold over the
set of its records.

Nothing is imported here: the settings need its hours only, and every command reads the settings.
"""
