"""The base of every value in the domain."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A value that is replaced, never changed. Its validator is built when it is first used: each function imports
    them all and uses a few, and building is a good part of its cold start."""

    model_config = ConfigDict(frozen=True, defer_build=True)
