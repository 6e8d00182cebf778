"""Service accounts whose key is made for the test run and never leaves it."""

from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2.service_account import Credentials

UPLOADER, DOWNLOADER = "upload@test.iam.gserviceaccount.com", "download@test.iam.gserviceaccount.com"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key of all throw-away accounts."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def nobody() -> AnonymousCredentials:
    """Credentials that send nothing along."""
    return AnonymousCredentials()  # type: ignore[no-untyped-call]


@cache
def key_account(email: str) -> Credentials:
    """An account that signs by itself, as one with a key file does."""
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = private_key().private_bytes(kind, form, serialization.NoEncryption()).decode()
    info = {"client_email": email, "private_key": pem, "token_uri": "http://127.0.0.1:9/none"}
    made: Credentials = Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call]
    return made
