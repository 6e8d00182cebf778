"""Rejections that hit every prompt of a job alike, so that the job need not pay for all of them."""

from collections import defaultdict

from promptforge.ports.provider import CallFailure

ALIKE_REJECTIONS = 20
"""After this many different lines with one rejection, and no answer, the job stops."""

MODEL_REJECTIONS = 2
"""The same for a model that does not exist."""

Signature = tuple[str, str | None, str | None]


class JobRejections:
    """The rejected lines of one job, by the provider's identifiers of the rejection."""

    def __init__(self) -> None:
        self._lines: defaultdict[Signature, set[int]] = defaultdict(set)
        self._answered = False

    def answered(self) -> None:
        """Record an answer: no rejection hits every prompt."""
        self._answered = True
        self._lines.clear()

    def add(self, line: int, failure: CallFailure) -> bool:
        """Record a rejected line.

        Returns whether the rejection seems to hit every prompt of the job.
        """
        if self._answered:
            return False
        code, param = (failure.error.code, failure.error.param) if failure.error else (None, None)
        lines = self._lines[failure.code, code, param]
        lines.add(line)
        return len(lines) >= (MODEL_REJECTIONS if failure.code == "model_not_found" else ALIKE_REJECTIONS)
