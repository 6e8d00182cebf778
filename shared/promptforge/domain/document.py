"""Base classes of what is stored in documents.

A deployment runs two versions side by side for some minutes. An older version reads a document that a newer one wrote,
changes it and writes it back whole. So stored models keep fields that they do not know.
"""

from pydantic import ConfigDict, Field

from promptforge.domain.model import Model


class StoredModel(Model):
    """A value inside a document.

    Unknown fields survive reading and writing.
    """

    model_config = ConfigDict(extra="allow")


class StoredDocument(StoredModel):
    """A document.

    `schema_version` is stored as `schema`: the number of the newest layout that wrote the document.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    schema_version: int = Field(1, alias="schema")
