"""Converse: a pure fold from a contact point's records to its conversations and follow-ups.

This file imports nothing: every command reads the settings, and those need only the business hours.
"""
