"""Words that only clients and providers use.

No log line and no error of the product may contain them.
"""

import re

SECRETS = re.compile(
    r"canary"  # in every text, key and error of the fake providers
    r"|\bprompt \d"  # in every generated prompt and, in capitals, in its completion
    r"|\bpf_\w{20}"  # an API key
    r"|signature=",  # a signed URL
    re.IGNORECASE,
)


def find_leaks(text: str | bytes) -> list[str]:
    """Return every secret in a text."""
    return SECRETS.findall(text.decode(errors="replace") if isinstance(text, bytes) else text)
