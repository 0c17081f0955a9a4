"""What each command does, apart from the terminal; `switchboard X` is in `X.py`."""
