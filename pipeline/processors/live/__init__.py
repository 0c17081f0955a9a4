"""Live: counts of the last minute, hour and day, and alerts about them; no I/O, no clock."""
