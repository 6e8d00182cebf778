"""Words that only clients and providers say: they may stand in no log line and no error of the product."""

import re

SECRETS = re.compile(
    r"canary"  # in every text, key and refusal of the test providers
    r"|\bprompt \d"  # in every generated prompt and, in capitals, in its answer
    r"|\bpf_\w{20}"  # an API key
    r"|signature=",  # a signed URL
    re.IGNORECASE,
)


def find_leaks(text: str | bytes) -> list[str]:
    """What is told in a text that should not be."""
    return SECRETS.findall(text.decode(errors="replace") if isinstance(text, bytes) else text)
