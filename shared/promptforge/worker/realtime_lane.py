"""Asks the provider for the prompts of a held chunk. The only place where a call is retried."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.formats.json_schema import matches_schema
from promptforge.domain.formats.native import Prompt, result_line
from promptforge.domain.job import COST_LIMIT, Job, JobError
from promptforge.domain.limits.pricing import token_cost
from promptforge.domain.retry import FailureKind, backoff_seconds, can_retry
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest, FinishReason
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.lease import ChunkLease

KEY_MISSING_SECONDS = 60.0
INVALID_OUTPUT = CallFailure(FailureKind.UNKNOWN, "invalid_output", "The answer does not fit the response_format.")
BROKEN_OFF = CallFailure(FailureKind.PROMPT, "invalid_output", "The answer ended before it fit the response_format.")
NOT_ALLOWED = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "The line's own model or extra is refused to this API key."
)

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Inside of what it gives, a call may be made."""


async def _first(future: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait until the future is done or the event has come."""
    waiter = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([future, waiter], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


class Asker:
    """Answers the prompts of one chunk, as many at once as `turn` lets."""

    def __init__(self, app: AppContext, job: Job, hold: ChunkLease, turn: Turn) -> None:
        self._app = app
        self._job = job
        self._hold = hold
        self._turn = turn

    async def ask_all(self, prompts: dict[int, Prompt]) -> None:
        """Return when every prompt is answered, or when the hold is ending and what was in flight has come back or
        had its time. Raises LeaseLost."""
        if self._hold.stop is None and (variable := self._app.settings.missing_key(self._job.provider)):
            # The job began with a key; whoever started this process without it may yet set it.
            logs.error("provider_key_missing", job_id=self._job.job_id, variable=variable)
            why = JobError(code="provider_key_missing", message=f"A worker waits for the operator to set {variable}.")
            self._hold.end(resume_at=self._app.clock.now() + KEY_MISSING_SECONDS, why=why)
        if not prompts:
            return
        calls = [asyncio.create_task(self._answer(line, prompt)) for line, prompt in prompts.items()]
        over = asyncio.create_task(asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION))
        try:
            await _first(over, self._hold.ending)
            if not over.done() and not self._hold.lost:
                await self._let_come_back(over)
        finally:
            for task in (over, *calls):
                task.cancel()
            await asyncio.gather(over, *calls, return_exceptions=True)
        for call in calls:
            if not call.cancelled():
                call.result()

    async def _let_come_back(self, over: asyncio.Task[Any]) -> None:
        """Calls in flight are paid for: wait for them. Each has a deadline, and from the soft deadline to the
        platform's there is time for one; a process that is told to stop has less."""
        await _first(over, self._app.stopping)
        if self._app.stopping.is_set():
            await asyncio.wait([over], timeout=self._app.settings.drain_seconds)

    async def _answer(self, line: int, prompt: Prompt) -> None:
        question = self._question(prompt)
        gate = self._app.circuit_breaker(self._job.provider, question.model)
        while await self._open(gate):
            match await self._call(gate, question):
                case None | (CallFailure(kind=FailureKind.THROTTLED | FailureKind.NOT_SENT), _):
                    continue
                case Completion() as answer, seconds:
                    self._keep(line, prompt, question, answer, seconds)
                    break
                case CallFailure() as failure, _:
                    if not await self._failed(line, prompt, question, failure):
                        break
        if line not in self._hold.answers and (stop := self._hold.stop):
            self._fail(line, prompt, question, stop.code, stop.message)
        await self._hold.flush_if_full()

    def _question(self, prompt: Prompt) -> CompletionRequest:
        """The prompt with the job's parameters, and its own in their place where it has them."""
        own = prompt.params
        if own is None:
            return CompletionRequest(self._job.model, prompt.prompt, params=self._job.params)
        return CompletionRequest(
            own.model or self._job.model, prompt.prompt, tuple(own.messages or ()), own.merged_over(self._job.params)
        )

    async def _open(self, gate: CircuitBreaker) -> bool:
        """Wait for the gate and for the money, without a place among the calls. False when no call may be made any
        more; a long wait is not sat out here."""
        loop = asyncio.get_running_loop()
        while not self._hold.halted:
            if gate.is_blocked(now := loop.time()):
                await self._wait_for(gate, now)
            elif not await self._hold.affordable():
                if not self._hold.halted:
                    await self._stop_job(COST_LIMIT)
            elif not gate.is_blocked(loop.time()):
                return True
        return False

    async def _wait_for(self, gate: CircuitBreaker, now: float) -> None:
        if problem := gate.rejection(now):
            await self._stop_job(problem)
        elif (wait := gate.blocked_until - now) > 0:
            if wait > self._app.settings.max_inline_wait_seconds:
                self._hold.end(resume_at=self._app.clock.now() + wait, why=gate.block_reason)
            await self._hold.halted_within(wait)
        else:
            await gate.wait_for_probe()

    async def _call(
        self, gate: CircuitBreaker, question: CompletionRequest
    ) -> tuple[Completion | CallFailure, float] | None:
        """One call to the provider, and the seconds it took; None if the wait for a place brought news that forbid
        it. From that look to the call nothing is awaited: what forbids many at once must not let them slip by."""
        loop = asyncio.get_running_loop()
        async with self._turn():
            if gate.is_blocked(loop.time()):
                return None
            with self._hold.purse.reserve_call() as within:
                if not within:
                    return None
                with gate.call():
                    if not await self._hold.may_call():
                        return None
                    began_at = loop.time()
                    provider = self._app.provider(self._job.provider)
                    reply = await provider.complete(question, self._app.settings.call_timeout_seconds)
                    now = loop.time()
                    if isinstance(reply, CallFailure) and reply.maybe_request_specific and self._differs(question):
                        reply = NOT_ALLOWED  # one line's wish must not stop the job
                    gate.record(began_at, now, reply)
                self._pay(question, reply)
        return self._heard(question, reply), now - began_at

    def _heard(self, question: CompletionRequest, reply: Completion | CallFailure) -> Completion | CallFailure:
        """What the reply is worth to who asked."""
        if isinstance(reply, CallFailure) and reply.kind in (FailureKind.THROTTLED, FailureKind.NOT_SENT):
            logs.info(reply.code, job_id=self._job.job_id, provider=self._job.provider)
        form = question.params.response_format
        if form and isinstance(reply, Completion) and not matches_schema(form, reply.text):
            again = reply.finish_reason in (FinishReason.STOP, FinishReason.OTHER)
            return INVALID_OUTPUT if again else BROKEN_OFF
        return reply

    def _pay(self, question: CompletionRequest, reply: Completion | CallFailure) -> None:
        """Count what the provider bills, also for a reply that is no answer."""
        job = self._job
        price = job.price if question.model == job.model else self._app.settings.price_of(job.provider, question.model)
        billed = isinstance(reply, Completion) or reply.input_tokens or reply.output_tokens
        if price and billed:
            self._hold.pay(token_cost(price, reply.input_tokens, reply.output_tokens))

    def _differs(self, question: CompletionRequest) -> bool:
        """Whether a line asks for a model or extra fields of its own."""
        job = self._job
        return (question.model, question.params.extra) != (job.model, job.params.extra)

    def _keep(self, line: int, prompt: Prompt, question: CompletionRequest, answer: Completion, seconds: float) -> None:
        tokens = answer.input_tokens + answer.output_tokens
        fields = {
            "result": answer.text,
            "model": answer.model,
            "tokens_used": tokens,
            "finish_reason": answer.finish_reason,
            "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
            "attempts": self._hold.failures.get(line, 0) + 1,
            "latency_ms": round(seconds * 1000),
            "request_id": answer.request_id,
        }
        public = result_line(prompt.prompt_id, fields, question.params.metadata)
        self._hold.answers.add(line, True, tokens, public, answer.output_tokens)

    def _fail(self, line: int, prompt: Prompt, question: CompletionRequest, code: str, message: str) -> None:
        attempts = self._hold.failures.get(line, 0)
        self._hold.fail(line, prompt.prompt_id, code, message, attempts, question.params.metadata)

    async def _failed(self, line: int, prompt: Prompt, question: CompletionRequest, failure: CallFailure) -> bool:
        """Whether the prompt is to be asked again, after its pause; if not, it is answered with the failure."""
        failures = self._hold.failures[line] = self._hold.failures.get(line, 0) + 1
        if can_retry(failure.kind, failures, self._job.max_retries):
            return not await self._hold.halted_within(backoff_seconds(failures, self._app.rng))
        self._fail(line, prompt, question, failure.code, failure.message)
        if failure.kind is FailureKind.ACCOUNT:
            await self._stop_job(JobError(code=failure.code, message=failure.message))
        return False

    async def _stop_job(self, problem: JobError) -> None:
        """No call of this job can succeed: let every worker know, and answer the rest without calling."""
        if self._hold.stop is None:
            self._hold.halt(problem)
            await self._app.ledger.stop_job(self._job.job_id, problem)
            logs.error("job_stopped", job_id=self._job.job_id, provider=self._job.provider, code=problem.code)
