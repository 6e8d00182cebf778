"""The HTTP providers' common part: a ProviderFormat builds requests and reads replies, HttpProvider does the rest."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from promptforge import logs
from promptforge.adapters.llm.answer import Answer, Usage, billed
from promptforge.adapters.llm.error_report import error_object, meant_status, read_report
from promptforge.adapters.llm.json_body import describe_shape
from promptforge.adapters.llm.network_errors import BAD_RESPONSE
from promptforge.adapters.llm.provider_format import Body, ProviderFormat, ProviderRequest
from promptforge.adapters.llm.rejections import (
    failure_of_status,
    known_rejection,
    model_failure,
    provider_fault,
    quota_failure,
)
from promptforge.adapters.llm.request_body import deep_merge
from promptforge.adapters.llm.transport import HttpReply, Transport
from promptforge.domain.retry_after import parse_retry_after
from promptforge.ports.clock import Clock
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import PROVIDER_URLS, Settings

MALFORMED = (TypeError, KeyError, IndexError, AttributeError, ValueError)
"""Exceptions from parsing an unexpected response shape."""

MAX_CONTINUATIONS = 5
MODEL_CHECK_SECONDS = 5.0


class HttpProvider:
    """The provider port over one transport, in one format.

    `secret` is the API key. `lists_models` tells that the address is the provider's own, where the list of models is
    complete.
    """

    def __init__(
        self,
        transport: Transport,
        provider_format: ProviderFormat,
        clock: Clock,
        secret: str = "",
        lists_models: bool = False,
    ) -> None:
        self._transport = transport
        self._format = provider_format
        self._clock = clock
        self._secret = secret
        self._lists_models = lists_models

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        call = self._format.build_request(request)
        call = replace(call, body=deep_merge(call.body, request.params.extra or {}))
        answer: Answer | None = None
        for _ in range(1 + MAX_CONTINUATIONS):
            reply = await self._call(call, request.model, deadline)
            part = reply if isinstance(reply, CallFailure) else self._read(reply, call.body, request)
            if isinstance(part, CallFailure):
                return billed(part, answer.usage if answer else Usage())
            answer = answer.continued_by(part) if answer else part
            body = None if isinstance(reply, CallFailure) else self._continuation(call.body, reply)
            if body is None:
                break
            call = replace(call, body=body)
        return self._outcome(answer, request) if answer else BAD_RESPONSE

    async def check_model(self, model: str) -> CallFailure | None:
        if not self._lists_models:
            return None
        reply = await self._transport.get(self._format.model_path(model), MODEL_CHECK_SECONDS)
        if isinstance(reply, CallFailure) or reply.status != 404 or not (error := error_object(reply.body)):
            return None
        report = read_report(error, reply.status, secret=self._secret)
        return replace(model_failure(self._format.name, report), error=report.identifiers)

    async def close(self) -> None:
        await self._transport.close()

    async def _call(self, call: ProviderRequest, model: str, deadline: float) -> HttpReply | CallFailure:
        """Make a call; make it again, unpaid, if only the name of the output limit was rejected."""
        reply = await self._post(call, deadline)
        renamed = self._renamed_limit(call.body, reply)
        if renamed is None:
            return reply
        again = await self._post(replace(call, body=renamed), deadline)
        if self._renamed_limit(renamed, again) is not None:
            return reply
        if isinstance(again, HttpReply) and _is_success(again):
            self._format.remember_limit(model, renamed)
        return again

    async def _post(self, call: ProviderRequest, deadline: float) -> HttpReply | CallFailure:
        seconds = max(deadline - asyncio.get_running_loop().time(), 0.0)
        headers = dict(call.headers)
        if self._format.timeout_header:
            headers[self._format.timeout_header] = str(max(math.ceil(seconds), 1))
        return await self._transport.post(call.path, call.body, seconds, headers)

    def _renamed_limit(self, body: Body, reply: HttpReply | CallFailure) -> Body | None:
        if isinstance(reply, CallFailure) or reply.status not in (400, 422):
            return None
        return self._format.renamed_limit(body, read_report(error_object(reply.body), reply.status, _fields(body)))

    def _continuation(self, body: Body, reply: HttpReply) -> Body | None:
        try:
            return self._format.continuation(body, reply.body)
        except MALFORMED:
            return None

    def _read(self, reply: HttpReply, sent: Body, request: CompletionRequest) -> Answer | CallFailure:
        """Return the answer of a reply, or the failure that it reports."""
        name = self._format.name
        if not _is_success(reply):
            return self._error_failure(reply, error_object(reply.body), reply.status, sent)
        if reply.body is None and reply.is_markup:
            return provider_fault(f"{name} sent a web page in place of an answer (HTTP {reply.status}).")
        answer = self._parse(reply, request)
        failure = self._reported_failure(reply, answer, sent)
        if failure is None:
            if answer is BAD_RESPONSE or (isinstance(answer, Answer) and answer.is_unexplained):
                shape = describe_shape(reply.body)
                logs.warning("provider_reply_unreadable", provider=name, status=reply.status, shape=shape)
            if isinstance(answer, Answer):
                return answer
            failure = answer
        return billed(failure, self._usage(reply))

    def _reported_failure(self, reply: HttpReply, answer: Answer | CallFailure, sent: Body) -> CallFailure | None:
        """Return the failure of an error inside a reply with a status of success, or None."""
        error = self._embedded_error(reply)
        if error and not (isinstance(answer, Answer) and answer.text):
            return self._error_failure(reply, error, meant_status(error), sent)
        if error or (isinstance(answer, Answer) and answer.is_broken):
            return provider_fault(f"{self._format.name} ended the answer with an error of its own.")
        return None

    def _parse(self, reply: HttpReply, request: CompletionRequest) -> Answer | CallFailure:
        try:
            return self._format.parse_answer(reply, request)
        except MALFORMED:
            return BAD_RESPONSE

    def _embedded_error(self, reply: HttpReply) -> Body | None:
        try:
            return self._format.embedded_error(reply.body)
        except MALFORMED:
            return None

    def _usage(self, reply: HttpReply) -> Usage:
        try:
            return self._format.read_usage(reply.body)
        except MALFORMED:
            return Usage()

    def _error_failure(self, reply: HttpReply, error: Body, status: int, sent: Body) -> CallFailure:
        """Return the failure of an error, by the provider's names for it or by its status."""
        name = self._format.name
        wait = retry_after(reply, self._clock.now())
        report = read_report(error, status, _fields(sent), self._secret)
        failure = (
            quota_failure(name, report, wait)
            or self._format.classify_error(report, wait)
            or known_rejection(name, report)
            or failure_of_status(name, self._format.key, report, wait)
        )
        return replace(failure, error=report.identifiers)

    def _outcome(self, answer: Answer, request: CompletionRequest) -> Completion | CallFailure:
        is_fixed = self._format.sets_limit(request.params.extra or {})
        has_default = self._format.has_default_limit and request.params.max_tokens is None
        return answer.outcome(has_default, is_fixed)


def build_provider(
    name: str,
    provider_format: ProviderFormat,
    headers: Mapping[str, str],
    settings: Settings,
    clock: Clock,
) -> HttpProvider:
    """Return the provider of that name, at the address of the settings; `headers` hold its key."""
    url = settings.provider_urls[name]
    transport = Transport(url, headers, settings.max_in_flight, settings.max_answer_bytes)
    key = settings.provider_keys[name]
    return HttpProvider(transport, provider_format, clock, key, lists_models=is_own_address(name, url))


def is_own_address(name: str, url: str) -> bool:
    """Return whether a base URL is on the provider's own host."""
    return host_of(url) == host_of(PROVIDER_URLS[name][1])


def host_of(url: str) -> str | None:
    """Return the host of a base URL, or None for an invalid one."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def retry_after(reply: HttpReply, now: float) -> float | None:
    """Return the seconds that the headers ask for.

    retry-after-ms is more precise and has precedence, as in the official SDKs.
    """
    try:
        milliseconds = float(reply.headers.get("retry-after-ms", ""))
    except ValueError:
        precise = None
    else:
        precise = parse_retry_after(str(milliseconds / 1000), now)
    return precise if precise is not None else parse_retry_after(reply.headers.get("retry-after"), now)


def _is_success(reply: HttpReply) -> bool:
    return 200 <= reply.status <= 299


def _fields(body: Body) -> set[str]:
    """Return the names of the fields of a request that an error may name."""
    config = body.get("generationConfig")
    return {*body, *(config if isinstance(config, dict) else ())}
