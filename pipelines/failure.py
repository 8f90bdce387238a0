"""The one way in which a command gives up: what happened, where, and what to do about it."""


class Failure(Exception):
    """A refusal that an operator can act on; the command line prints it and exits with `exit_code`.

    `what` happened, in one sentence; `do` is the next step, as a command where there is one.
    """

    def __init__(self, what: str, do: str, exit_code: int = 1) -> None:
        super().__init__(f"{what}\n{do}")
        self.what = what
        self.do = do
        self.exit_code = exit_code
