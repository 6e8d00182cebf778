"""What every HTTP function may answer: that it is well, and what went wrong."""

from typing import Literal

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """The answer to GET /healthz."""

    status: Literal["ok"] = "ok"


class ProblemDetails(BaseModel):
    """An error as RFC 9457 problem details: `code` is a stable word for programs, `detail` a sentence for people."""

    type: Literal["about:blank"] = "about:blank"
    status: int
    code: str
    detail: str
