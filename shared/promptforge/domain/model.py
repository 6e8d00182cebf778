"""The base class of the values in the domain."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """An immutable value.

    Its validator is built on first use. Each function imports all models and uses a few, and building validators takes
    a large part of a cold start.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)
