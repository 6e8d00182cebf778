"""The realtime lane: one provider call for each prompt, many at once.

The only place where a call is retried.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from promptforge import logs
from promptforge.domain.formats.json_schema import extract_json, matches_schema
from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError
from promptforge.domain.limits.pricing import token_cost
from promptforge.domain.retry import FailureKind
from promptforge.domain.timeouts import ACCESS_CHECK_SECONDS
from promptforge.errors import PromptForgeError
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.worker.admission import Admission, Outcome, Slots
from promptforge.worker.call_outcome import Decision, PromptCalls
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.provider_access import access_error

INVALID_OUTPUT = CallFailure(FailureKind.UNKNOWN, "invalid_output", "The answer does not match the response_format.")
CUT_OFF_OUTPUT = CallFailure(
    FailureKind.PROMPT, "invalid_output", "The answer ended before it matched the response_format."
)
NOT_ALLOWED = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "The API key may not use the model or the extra fields of this line."
)
THROTTLED = (FailureKind.THROTTLED, FailureKind.NOT_SENT)

PROMPT_FAULT = JobError(code="worker_fault", message="Internal error: processing this prompt failed.")

LARGER_MAX_TOKENS = 64_000
"""The limit of a second call for an answer that reasoning or a default limit cut off before any text."""


class RealtimeLane:
    """Answers prompts of one chunk, as many at once as `slots` allows."""

    def __init__(self, run: ChunkRun, slots: Slots) -> None:
        self._run = run
        self._context = run.runtime.context
        self._runtime = run.runtime
        self._job = run.job
        self._stop = run.stop
        self._output = run.output
        self._attempts = run.attempts
        self._admission = Admission(run, slots)

    async def run(self, prompts: Mapping[int, Prompt]) -> None:
        """Return when every prompt has its answer, or when no further call may start and the calls in flight are back.

        Calls in flight are paid for, so they are waited for. A process that must end waits DRAIN_SECONDS at most.
        Raises LeaseLost.
        """
        if error := access_error(self._context.settings, self._job):
            if error.code == "provider_key_missing":
                logs.error("provider_key_missing", job_id=self._job.job_id, provider=self._job.provider)
            self._stop.release_at(self._context.clock.now() + ACCESS_CHECK_SECONDS, error)
        if not prompts or self._stop.is_set:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as drain, asyncio.TaskGroup() as group:
                limit = group.create_task(self._limit_drain(drain))
                await asyncio.wait([group.create_task(self._answer(*item)) for item in prompts.items()])
                limit.cancel()

    async def _limit_drain(self, drain: asyncio.Timeout) -> None:
        await self._context.stopping.wait()
        drain.reschedule(asyncio.get_running_loop().time() + self._context.settings.drain_seconds)

    async def _answer(self, line: int, prompt: Prompt) -> None:
        """Call the provider until the prompt has its answer, or until no further call may start.

        An unexpected error ends with this prompt: the calls of the others go on.
        """
        try:
            await self._call_until_answered(line, prompt)
        except PromptForgeError:
            raise
        except Exception as exc:
            logs.error("prompt_failed", job_id=self._job.job_id, error=type(exc).__name__)
            if line not in self._output:
                self._attempts.record_failure(line)
                self._output.add_error(line, prompt, PROMPT_FAULT.code, PROMPT_FAULT.message)
        await self._output.flush_if_full()

    async def _call_until_answered(self, line: int, prompt: Prompt) -> None:
        request, calls = self._build_request(prompt), PromptCalls(self._run, line)
        while (made := await self._call_once(line, request)) is not None:
            reply, outcome = made
            if isinstance(reply, Completion):
                self._save_result(line, prompt, reply, outcome.seconds)
                return
            if reply.larger_limit_helps and request.params.max_tokens != LARGER_MAX_TOKENS:
                request = replace(request, params=request.params.with_max_tokens(LARGER_MAX_TOKENS))
                self._attempts.record_failure(line)
                continue
            decision = await calls.decide(reply, outcome)
            if decision is Decision.RETRY:
                continue
            self._output.add_error(line, prompt, reply.code, reply.message, reply)
            if decision is Decision.STOP_JOB or await self._hits_every_prompt(line, request, reply):
                await self._stop.stop_job(JobError(code=reply.code, message=reply.message))
            return

    def _build_request(self, prompt: Prompt) -> CompletionRequest:
        """Return the prompt with the job's parameters, overridden by its own."""
        own = prompt.params
        if own is None:
            return CompletionRequest(self._job.model, prompt.prompt, params=self._job.params)
        return CompletionRequest(
            own.model or self._job.model, prompt.prompt, tuple(own.messages or ()), own.merged_over(self._job.params)
        )

    async def _call_once(
        self, line: int, request: CompletionRequest
    ) -> tuple[Completion | CallFailure, Outcome] | None:
        """Make one call.

        Returns the reply and its outcome, or None when no further call may start.
        """
        breaker = self._runtime.circuit_breaker(self._job.provider, request.model)
        async with self._admission.acquire(breaker) as permit:
            if permit is None:
                return None
            provider = self._runtime.provider(self._job.provider)
            reply = await provider.complete(request, self._call_timeout())
            if isinstance(reply, CallFailure) and reply.maybe_request_specific and self._overrides_job(request):
                reply = replace(NOT_ALLOWED, error=reply.error)  # the fields of one line must not stop the job
            outcome = permit.record((self._job.job_id, line), reply)
            self._record_cost(request, reply)
        if isinstance(reply, CallFailure) and reply.kind in THROTTLED:
            logs.info(reply.code, job_id=self._job.job_id, provider=self._job.provider)
        return self._validate(request, reply), outcome

    def _call_timeout(self) -> float:
        """The timeout of the job within the maximum of the process, or else the timeout of the process."""
        own, settings = self._job.timeout_seconds, self._context.settings
        return settings.call_timeout_seconds if own is None else min(own, settings.max_call_timeout_seconds)

    async def _hits_every_prompt(self, line: int, request: CompletionRequest, failure: CallFailure) -> bool:
        """Whether a rejection seems to hit every prompt of the job, so that no further call is worth its cost."""
        if failure.kind is not FailureKind.PROMPT or self._overrides_job(request):
            return False
        if not self._runtime.job_rejections(self._job).add(line, failure):
            return False
        return (await self._context.chunks.totals(self._job.job_id)).completed == 0

    def _validate(self, request: CompletionRequest, reply: Completion | CallFailure) -> Completion | CallFailure:
        """Return the reply, or a failure for an answer that does not match the response_format."""
        response_format = request.params.response_format
        if not response_format or not isinstance(reply, Completion):
            return reply
        text = extract_json(reply.text)
        if matches_schema(response_format, text):
            return replace(reply, text=text)
        ended = reply.finish_reason in (FinishReason.STOP, FinishReason.OTHER)
        return replace(INVALID_OUTPUT if ended else CUT_OFF_OUTPUT, text=reply.text)

    def _record_cost(self, request: CompletionRequest, reply: Completion | CallFailure) -> None:
        """Count what the provider bills, also for a reply without an answer."""
        job, settings = self._job, self._context.settings
        price = job.price if request.model == job.model else settings.price_of(job.provider, request.model)
        billed = isinstance(reply, Completion) or reply.input_tokens or reply.output_tokens
        if price and billed:
            self._attempts.add_cost(token_cost(price, reply.input_tokens, reply.output_tokens))

    def _overrides_job(self, request: CompletionRequest) -> bool:
        """Whether the line has a model or extra fields of its own."""
        return (request.model, request.params.extra) != (self._job.model, self._job.params.extra)

    def _save_result(self, line: int, prompt: Prompt, completion: Completion, seconds: float) -> None:
        fields = {
            "result": completion.text,
            "model": completion.model,
            "tokens_used": completion.input_tokens + completion.output_tokens,
            "finish_reason": completion.finish_reason,
            "usage": _usage(completion),
            "attempts": self._attempts.failed(line) + 1,
            "latency_ms": round(seconds * 1000),
            "request_id": completion.request_id,
        }
        self._output.add_result(line, prompt, fields)
        self._runtime.job_rejections(self._job).answered()


def _usage(completion: Completion) -> dict[str, int]:
    usage = {"input_tokens": completion.input_tokens, "output_tokens": completion.output_tokens}
    if completion.reasoning_tokens:
        usage["reasoning_tokens"] = completion.reasoning_tokens
    return usage
