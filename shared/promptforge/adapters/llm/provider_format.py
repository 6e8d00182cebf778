"""The format of one provider: its requests, its replies and its errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptforge.adapters.llm.answer import Answer, Usage
from promptforge.adapters.llm.error_report import ErrorReport, error_object, reports_error
from promptforge.adapters.llm.transport import HttpReply
from promptforge.ports.provider import CallFailure, CompletionRequest

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One HTTP request: the path below the base URL, the body, and headers that not every request has."""

    path: str
    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)


class ProviderFormat:
    """The request and response format of one provider.

    `name` and `key` are the provider's name and the variable of its key, for messages. `timeout_header` is the header
    in which the provider accepts the timeout of a call. `has_default_limit` tells that a request without an output
    limit gets PromptForge's default.
    """

    name: str
    key: str
    timeout_header: str | None = None
    has_default_limit = False

    def build_request(self, request: CompletionRequest) -> ProviderRequest:
        """Return the HTTP request; `extra` is merged into it later."""
        raise NotImplementedError

    def parse_answer(self, reply: HttpReply, request: CompletionRequest) -> Answer | CallFailure:
        """Parse a reply with a status of success.

        An exception of MALFORMED marks a bad response.
        """
        raise NotImplementedError

    def read_usage(self, body: Any) -> Usage:
        """Return the tokens that a reply with a status of success bills.

        Raises MALFORMED as `parse_answer`.
        """
        raise NotImplementedError

    def model_path(self, model: str) -> str:
        """Return the path of a model in the provider's list."""
        raise NotImplementedError

    def embedded_error(self, body: Any) -> Body | None:
        """Return the error that a reply with a status of success reports, or None."""
        return error_object(body) if reports_error(body) else None

    def sets_limit(self, extra: Body) -> bool:
        """Return whether the extra fields of a request set the output limit."""
        return "max_tokens" in extra or "max_completion_tokens" in extra

    def continuation(self, body: Body, reply: Any) -> Body | None:
        """Return the body of the request that continues an unfinished answer, or None."""
        return None

    def renamed_limit(self, body: Body, report: ErrorReport) -> Body | None:
        """Return the body with the other name of the output limit if the error rejects its name, else None."""
        return None

    def remember_limit(self, model: str, body: Body) -> None:
        """Use the name of the output limit in an accepted body for this model from now on."""

    def classify_error(self, report: ErrorReport, retry_after: float | None) -> CallFailure | None:
        """Return the failure of an error that only this provider reports so, else None.

        `retry_after` is the wait that the headers ask for.
        """
        return None
