"""Service accounts with one key, which is generated for the test run and never stored."""

from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2.service_account import Credentials

UPLOADER, DOWNLOADER = "upload@test.iam.gserviceaccount.com", "download@test.iam.gserviceaccount.com"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """Return the key of all these accounts."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def anonymous_credentials() -> AnonymousCredentials:
    """Return credentials that add nothing to a request."""
    return AnonymousCredentials()  # type: ignore[no-untyped-call]


@cache
def key_credentials(email: str) -> Credentials:
    """Return credentials that sign locally, like those from a key file."""
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = private_key().private_bytes(kind, form, serialization.NoEncryption()).decode()
    info = {"client_email": email, "private_key": pem, "token_uri": "http://127.0.0.1:9/none"}
    credentials: Credentials = Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call]
    return credentials
