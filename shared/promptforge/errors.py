"""Every error PromptForge raises across its own seams.

PromptForgeError
├── ApiError             the caller is told: a status, a stable code and a sentence
├── SettingsError        the operator is told: which setting, what is wrong with it, what to do
├── Conflict             a document is not at the version a commit named: read again, decide again
├── ObjectExists         a create-only write met an object with other content
├── ObjectMissing        the object, or the generation of it that was asked for, is not there
├── LeaseLost            a worker holds a chunk no longer and must stop without writing
├── Interrupted          the user, or the system, stopped a command before its end
└── Unavailable          a part of the platform did not answer: the step may run again
"""


class PromptForgeError(Exception):
    """Root of the tree."""


class ApiError(PromptForgeError):
    """What an HTTP caller did wrong. `detail` is one sentence for people, `code` a stable word for programs."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class SettingsError(PromptForgeError):
    """A setting is missing or wrong; the message names it and says what to do."""


class Conflict(PromptForgeError):
    """A commit was refused as a whole because one document was not at the expected version."""


class ObjectExists(PromptForgeError):
    """The name is taken by an object with other content."""


class ObjectMissing(PromptForgeError):
    """There is no such object, or not in the generation that was asked for."""


class LeaseLost(PromptForgeError):
    """Another worker has taken over the chunk."""


class Interrupted(PromptForgeError):
    """A command was stopped before its end; the message says what becomes of its work."""


class Unavailable(PromptForgeError):
    """A dependency did not answer; whether it acted is unknown, so the step is repeated."""
