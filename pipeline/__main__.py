"""`python -m pipeline` is the command `switchboard`."""

from pipeline.cli import main

main()
