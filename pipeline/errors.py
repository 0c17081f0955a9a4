"""The base of every error that a person can mend."""


class UserError(Exception):
    """Something is wrong outside the program; the message says what and what to do, and the command
    line prints it alone.
    """
