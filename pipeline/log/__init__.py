"""The log port, its SQLite form, the claim check, the clock and dead letters."""
