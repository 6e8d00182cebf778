from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from promptforge.adapters.local.urls import InvalidSignature, UrlExpired, UrlSigner
from promptforge.ports.objects import Objects

KEY = b"k" * 32
EXPIRES_AT = 1_700_000_900.0
IN_TIME = EXPIRES_AT - 900
Query = dict[str, str]

SIGNER = UrlSigner(KEY, "http://127.0.0.1:8080")
UPLOAD = SIGNER.url("PUT", "uploads", "job_1/input.jsonl", EXPIRES_AT)
DOWNLOAD = SIGNER.url("GET", "results", "job_1/results_part_001.jsonl", EXPIRES_AT, "results_part_001.jsonl")


def query_of(url: str) -> Query:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def check_upload(
    query: Query, method: str = "PUT", bucket: str = "uploads", name: str = "job_1/input.jsonl", now: float = IN_TIME
) -> None:
    SIGNER.check(method, bucket, name, query, now)


def test_url_contains_bucket_and_object() -> None:
    parts = urlsplit(UPLOAD)

    assert (parts.scheme, parts.netloc, parts.path) == ("http", "127.0.0.1:8080", "/storage/uploads/job_1/input.jsonl")
    assert set(query_of(UPLOAD)) == {"expires", "signature"}
    assert query_of(DOWNLOAD)["filename"] == "results_part_001.jsonl"


def test_url_unchanged_is_accepted() -> None:
    check_upload(query_of(UPLOAD))
    SIGNER.check("GET", "results", "job_1/results_part_001.jsonl", query_of(DOWNLOAD), IN_TIME)


@pytest.mark.parametrize("name", ["a b", "a/b", "\u00fc\u4e2d", "a?b#c", "a%2Fb", "a+b", "a&expires=9999999999"])
def test_url_of_any_name_is_accepted(name: str) -> None:
    parts = urlsplit(SIGNER.url("GET", "results", name, EXPIRES_AT, name))
    path_name = unquote(parts.path).removeprefix("/storage/results/")

    assert path_name == name
    SIGNER.check("GET", "results", path_name, dict(parse_qsl(parts.query)), IN_TIME)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "put", ""])
def test_url_with_other_method_is_rejected(method: str) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD), method=method)


@pytest.mark.parametrize("bucket", ["results", "work", "", "Uploads"])
def test_url_with_other_bucket_is_rejected(bucket: str) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD), bucket=bucket)


@pytest.mark.parametrize(
    "name", ["job_2/input.jsonl", "job_1/input.json", "", "job_1/input.jsonl/", "job_1//input.jsonl"]
)
def test_url_with_other_name_is_rejected(name: str) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD), name=name)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": str(int(EXPIRES_AT) + 1)},
        {"expires": "99999999999"},
        {"expires": ""},
        {"expires": "soon"},
        {"expires": "1e99"},
        {"expires": "0" + str(int(EXPIRES_AT))},
        {"expires": str(int(EXPIRES_AT)) + ".0"},
        {"expires": " " + str(int(EXPIRES_AT))},
        {"filename": "evil.exe"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\u00fc"},
        {"signature": query_of(UPLOAD)["signature"].upper()},
        {"signature": query_of(UPLOAD)["signature"] + "0"},
        {"signature": query_of(UPLOAD)["signature"][:-1]},
        {"signature": query_of(DOWNLOAD)["signature"]},
    ],
)
def test_url_with_changed_query_is_rejected(change: Query) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD) | change)


@pytest.mark.parametrize("missing", ["expires", "signature"])
def test_url_with_missing_query_is_rejected(missing: str) -> None:
    query = query_of(UPLOAD)
    del query[missing]

    with pytest.raises(InvalidSignature):
        check_upload(query)
    with pytest.raises(InvalidSignature):
        check_upload({})


def test_url_with_other_filename_is_rejected() -> None:
    for query in (query_of(DOWNLOAD) | {"filename": "x.html"}, {"filename": ""} | query_of(UPLOAD)):
        with pytest.raises(InvalidSignature):
            SIGNER.check("GET", "results", "job_1/results_part_001.jsonl", query, IN_TIME)


def test_url_signed_by_other_key_is_rejected() -> None:
    forged = UrlSigner(b"x" * 32, SIGNER.base_url).url("PUT", "uploads", "job_1/input.jsonl", EXPIRES_AT)

    with pytest.raises(InvalidSignature):
        check_upload(query_of(forged))


def test_url_is_valid_until_expiry() -> None:
    check_upload(query_of(UPLOAD), now=EXPIRES_AT - 0.001)

    for late in (EXPIRES_AT, EXPIRES_AT + 1, EXPIRES_AT * 10):
        with pytest.raises(UrlExpired):
            check_upload(query_of(UPLOAD), now=late)


def test_url_forged_is_rejected_as_forged_after_expiry() -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD) | {"signature": "0" * 64}, now=EXPIRES_AT + 1)


async def test_url_of_missing_object_is_signed(objects: Objects) -> None:
    upload = await objects.upload_url("job_1/input.jsonl", EXPIRES_AT)
    download = await objects.download_url("job_1/part", "part.jsonl", EXPIRES_AT)

    assert len({upload, download, await objects.upload_url("job_2/input.jsonl", EXPIRES_AT)}) == 3
    for url, name in ((upload, "job_1/input.jsonl"), (download, "job_1/part")):
        assert urlsplit(url).path.endswith(name)
    assert await objects.stat("job_1/input.jsonl") is None
