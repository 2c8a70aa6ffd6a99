"""Errors that a user can meet and mend."""


class UserError(Exception):
    """An error that the user can mend: only the message goes to stderr, never a traceback.

    The message is one line that says what was wrong, the actual value, what is allowed and what to do
    next. `exit_code` is the process's: 2 wrong use, settings or machine, 1 the work failed, 3 a check found a
    fault.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
