"""The realtime lane: one provider call for each prompt, many at once.

The only place where a call is retried.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from promptforge import logs
from promptforge.domain.formats.json_schema import matches_schema
from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import JobError
from promptforge.domain.limits.pricing import token_cost
from promptforge.domain.retry import FailureKind, backoff_seconds, can_retry
from promptforge.domain.timeouts import KEY_MISSING_SECONDS
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.worker.admission import Admission, Slots
from promptforge.worker.chunk_run import ChunkRun

INVALID_OUTPUT = CallFailure(FailureKind.UNKNOWN, "invalid_output", "The answer does not match the response_format.")
CUT_OFF_OUTPUT = CallFailure(
    FailureKind.PROMPT, "invalid_output", "The answer ended before it matched the response_format."
)
NOT_ALLOWED = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "The API key may not use the model or the extra fields of this line."
)
THROTTLED = (FailureKind.THROTTLED, FailureKind.NOT_SENT)


class RealtimeLane:
    """Answers prompts of one chunk, as many at once as `slots` allows."""

    def __init__(self, run: ChunkRun, slots: Slots) -> None:
        self._context = run.runtime.context
        self._runtime = run.runtime
        self._job = run.job
        self._stop = run.stop
        self._output = run.output
        self._attempts = run.attempts
        self._admission = Admission(self._context, run.stop, run.lease, run.attempts, run.budget, slots)

    async def run(self, prompts: Mapping[int, Prompt]) -> None:
        """Return when every prompt has its answer, or when no further call may start and the calls in flight are back.

        Calls in flight are paid for, so they are waited for. A process that must end waits DRAIN_SECONDS at most.
        Raises LeaseLost.
        """
        if variable := self._context.settings.missing_key(self._job.provider):
            # The job was created with a key. The operator of this process may still set it.
            logs.error("provider_key_missing", job_id=self._job.job_id, variable=variable)
            waiting_for = JobError(code="provider_key_missing", message=f"A worker has no {variable}; set it.")
            self._stop.release_at(self._context.clock.now() + KEY_MISSING_SECONDS, waiting_for)
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
        """Call the provider until the prompt has its answer, or until no further call may start."""
        request = self._build_request(prompt)
        while (outcome := await self._call_once(request)) is not None:
            reply, seconds = outcome
            if isinstance(reply, Completion):
                self._save_result(line, prompt, reply, seconds)
                break
            if reply.kind not in THROTTLED and not await self._should_retry(line, prompt, reply):
                break
        await self._output.flush_if_full()

    def _build_request(self, prompt: Prompt) -> CompletionRequest:
        """Return the prompt with the job's parameters, overridden by its own."""
        own = prompt.params
        if own is None:
            return CompletionRequest(self._job.model, prompt.prompt, params=self._job.params)
        return CompletionRequest(
            own.model or self._job.model, prompt.prompt, tuple(own.messages or ()), own.merged_over(self._job.params)
        )

    async def _call_once(self, request: CompletionRequest) -> tuple[Completion | CallFailure, float] | None:
        """Make one call.

        Returns the reply and its seconds, or None when no further call may start.
        """
        breaker = self._runtime.circuit_breaker(self._job.provider, request.model)
        async with self._admission.acquire(breaker) as permit:
            if permit is None:
                return None
            provider = self._runtime.provider(self._job.provider)
            reply = await provider.complete(request, self._context.settings.call_timeout_seconds)
            if isinstance(reply, CallFailure) and reply.maybe_request_specific and self._overrides_job(request):
                reply = NOT_ALLOWED  # the fields of one line must not stop the job
            seconds = permit.record(reply)
            self._record_cost(request, reply)
        if isinstance(reply, CallFailure) and reply.kind in THROTTLED:
            logs.info(reply.code, job_id=self._job.job_id, provider=self._job.provider)
        return self._validate(request, reply), seconds

    def _validate(self, request: CompletionRequest, reply: Completion | CallFailure) -> Completion | CallFailure:
        """Return the reply, or a failure for an answer that does not match the response_format."""
        response_format = request.params.response_format
        if not response_format or not isinstance(reply, Completion) or matches_schema(response_format, reply.text):
            return reply
        ended = reply.finish_reason in (FinishReason.STOP, FinishReason.OTHER)
        return INVALID_OUTPUT if ended else CUT_OFF_OUTPUT

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
            "usage": {"input_tokens": completion.input_tokens, "output_tokens": completion.output_tokens},
            "attempts": self._attempts.failed(line) + 1,
            "latency_ms": round(seconds * 1000),
            "request_id": completion.request_id,
        }
        self._output.add_result(line, prompt, fields)

    async def _should_retry(self, line: int, prompt: Prompt, failure: CallFailure) -> bool:
        """Return whether the prompt is called again, after its pause; if not, the failure is its answer."""
        failures = self._attempts.record_failure(line)
        if can_retry(failure.kind, failures, self._job.max_retries):
            return not await self._stop.wait(backoff_seconds(failures, self._context.rng))
        self._output.add_error(line, prompt, failure.code, failure.message)
        if failure.kind is FailureKind.ACCOUNT:
            await self._stop.stop_job(JobError(code=failure.code, message=failure.message))
        return False
