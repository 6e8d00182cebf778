"""A run of equal failures: do they concern the prompts, or the provider as a whole?"""

import asyncio

COMMON_CAUSE_PROMPTS = 5
"""After failures of this many different prompts in a row, with no success between them, the cause is common."""

PromptKey = tuple[str, int]
"""The job id and the line of a prompt."""


class FailureRun:
    """Failures in a row since the last success of any prompt.

    While the run lasts it is open whether a failure belongs to its prompt. It ends with a success: then each failure
    belongs to its prompt. Or enough different prompts fail: then the failures have a common cause.
    """

    def __init__(self) -> None:
        self._prompts: set[PromptKey] = set()
        self._decided = asyncio.Event()
        self.common_cause = False

    def add(self, prompt: PromptKey) -> None:
        """Add a failure."""
        self._prompts.add(prompt)
        if len(self._prompts) >= COMMON_CAUSE_PROMPTS:
            self.common_cause = True
            self._decided.set()

    def end(self) -> None:
        """End the run with a success."""
        self._decided.set()

    async def has_common_cause(self, seconds: float, stopped: asyncio.Event) -> bool:
        """Return whether the failures have a common cause.

        Waits until it is known, until `stopped` is set, or for `seconds`.
        """
        waits = [asyncio.create_task(event.wait()) for event in (self._decided, stopped)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.common_cause
