"""The base class of errors that the user of a command can fix."""


class UserError(Exception):
    """A problem outside the program; the message says what happened and what to do.

    The command line prints the message without a traceback.
    """


class UsageError(UserError):
    """The command is wrong: an option, a name or a path; the message says how to write it."""
