"""Timelines, the report page, charts: what people read of the history."""
