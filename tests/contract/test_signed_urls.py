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


def test_a_url_names_its_bucket_and_object() -> None:
    parts = urlsplit(UPLOAD)

    assert (parts.scheme, parts.netloc, parts.path) == ("http", "127.0.0.1:8080", "/storage/uploads/job_1/input.jsonl")
    assert set(query_of(UPLOAD)) == {"expires", "signature"}
    assert query_of(DOWNLOAD)["filename"] == "results_part_001.jsonl"


def test_a_url_as_it_was_signed_is_good() -> None:
    check_upload(query_of(UPLOAD))
    SIGNER.check("GET", "results", "job_1/results_part_001.jsonl", query_of(DOWNLOAD), IN_TIME)


@pytest.mark.parametrize("name", ["a b", "a/b", "\u00fc\u4e2d", "a?b#c", "a%2Fb", "a+b", "a&expires=9999999999"])
def test_any_name_survives_its_url(name: str) -> None:
    parts = urlsplit(SIGNER.url("GET", "results", name, EXPIRES_AT, name))
    path_name = unquote(parts.path).removeprefix("/storage/results/")

    assert path_name == name
    SIGNER.check("GET", "results", path_name, dict(parse_qsl(parts.query)), IN_TIME)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "put", ""])
def test_another_method_is_refused(method: str) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD), method=method)


@pytest.mark.parametrize("bucket", ["results", "work", "", "Uploads"])
def test_another_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD), bucket=bucket)


@pytest.mark.parametrize(
    "name", ["job_2/input.jsonl", "job_1/input.json", "", "job_1/input.jsonl/", "job_1//input.jsonl"]
)
def test_another_name_is_refused(name: str) -> None:
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
def test_a_changed_query_is_refused(change: Query) -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD) | change)


@pytest.mark.parametrize("missing", ["expires", "signature"])
def test_a_query_without_its_parts_is_refused(missing: str) -> None:
    query = query_of(UPLOAD)
    del query[missing]

    with pytest.raises(InvalidSignature):
        check_upload(query)
    with pytest.raises(InvalidSignature):
        check_upload({})


def test_a_download_under_another_file_name_is_refused() -> None:
    for query in (query_of(DOWNLOAD) | {"filename": "x.html"}, {"filename": ""} | query_of(UPLOAD)):
        with pytest.raises(InvalidSignature):
            SIGNER.check("GET", "results", "job_1/results_part_001.jsonl", query, IN_TIME)


def test_another_key_signs_nothing_here() -> None:
    forged = UrlSigner(b"x" * 32, SIGNER.base_url).url("PUT", "uploads", "job_1/input.jsonl", EXPIRES_AT)

    with pytest.raises(InvalidSignature):
        check_upload(query_of(forged))


def test_a_url_is_good_until_it_expires() -> None:
    check_upload(query_of(UPLOAD), now=EXPIRES_AT - 0.001)

    for late in (EXPIRES_AT, EXPIRES_AT + 1, EXPIRES_AT * 10):
        with pytest.raises(UrlExpired):
            check_upload(query_of(UPLOAD), now=late)


def test_a_forged_url_is_not_told_that_it_expired() -> None:
    with pytest.raises(InvalidSignature):
        check_upload(query_of(UPLOAD) | {"signature": "0" * 64}, now=EXPIRES_AT + 1)


async def test_a_bucket_signs_urls_for_names_that_need_not_exist(objects: Objects) -> None:
    upload = await objects.upload_url("job_1/input.jsonl", EXPIRES_AT)
    download = await objects.download_url("job_1/part", "part.jsonl", EXPIRES_AT)

    assert len({upload, download, await objects.upload_url("job_2/input.jsonl", EXPIRES_AT)}) == 3
    for url, name in ((upload, "job_1/input.jsonl"), (download, "job_1/part")):
        assert urlsplit(url).path.endswith(name)
    assert await objects.stat("job_1/input.jsonl") is None
