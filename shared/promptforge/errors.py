"""Errors that several layers share.

An error of one adapter or of the client is in the module that raises it.

PromptForgeError
├── RequestError         a client's request cannot be fulfilled: a stable code and a sentence
├── SettingsError        a setting is missing or invalid: its name and what to do
├── Conflict             a document does not have the version that a commit names: read and decide again
├── ObjectExists         a create-only write found an object with other content
├── ObjectMissing        the object, or the requested generation of it, does not exist
├── LeaseLost            a worker no longer holds the lease of a chunk and must stop without writing
├── Interrupted          the user or the system stopped a command before its end
└── Unavailable          a dependency did not answer: the step may run again
"""


class PromptForgeError(Exception):
    """The root of the tree."""


class RequestError(PromptForgeError):
    """A client's request cannot be fulfilled.

    `code` is stable and meant for programs, `detail` is one sentence for people. `retry_after` is in seconds.
    The entry points map each code to an HTTP status.
    """

    def __init__(self, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class SettingsError(PromptForgeError):
    """A setting is missing or invalid.

    The message names it and says what to do.
    """


class Conflict(PromptForgeError):
    """A commit was rejected as a whole, because one document did not have the expected version."""


class ObjectExists(PromptForgeError):
    """An object with this name and other content exists."""


class ObjectMissing(PromptForgeError):
    """The object does not exist, or not in the requested generation."""


class LeaseLost(PromptForgeError):
    """Another worker has claimed the chunk."""


class Interrupted(PromptForgeError):
    """A command was stopped before its end.

    The message says what happens to its work.
    """


class Unavailable(PromptForgeError):
    """A dependency did not answer.

    The step is repeated, because its effect is unknown. `dependency` and `cause` are short identifiers.
    """

    def __init__(self, dependency: str, cause: str) -> None:
        super().__init__(f"{dependency}: {cause}")
        self.dependency = dependency
        self.cause = cause
