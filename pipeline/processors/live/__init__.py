"""What is happening now: records counted into panes, windows summed from them, and alerts found in
the windows; no I/O, no clock.
"""
