"""The properties of jobs that hold after each step of two clients."""

from promptforge.domain.job import TRANSITIONS, Status
from tests.harness.lines import parse_lines
from tests.harness.two_clients import KnownJob, TwoClients, expected_lines

JOB_ERRORS = {
    "CANCELLED": {"cancelled"},
    "FAILED": {"upload_expired", "empty_input", "all_prompts_failed", "deadline_exceeded"},
}
"""The codes of job errors by final status. A completed job has none."""


async def check_statuses(clients: TwoClients, jobs: list[KnownJob]) -> None:
    """Check that statuses move forward, and that nothing changes after the end of a job."""
    for job in jobs:
        reply = await clients.request_job(job, "status")
        assert reply.status_code == 200
        status = reply.json()
        assert status["status"] in _reachable(job.status), (job.status, status)
        job.status = status["status"]
        assert status["completed_count"] + status["failed_count"] <= status["prompt_count"]
        assert max(clients.calls_by_prompt(job), default=0) <= 1 + job.crashes  # only a crash causes a second call
        if job.cancel_accepted and job.final is None:
            assert job.status != "COMPLETED"
            assert status["error"] is not None
        if job.final:
            assert status == job.final
            assert sum(clients.calls_by_prompt(job)) == job.calls
        elif Status(job.status).final:
            job.final, job.calls = status, sum(clients.calls_by_prompt(job))


async def check_results(clients: TwoClients, job: KnownJob) -> None:
    """Check the answer to the request of a job's results, and the content of the files."""
    reply = await clients.request_job(job, "results")
    if not job.final:
        assert (reply.status_code, reply.json()["code"]) == (409, "not_finished")
    elif reply.status_code != 200:
        assert (reply.status_code, reply.json()["code"]) == (409, "no_results")
        assert job.final["completed_count"] == job.final["prompt_count"] == 0
    else:
        listed = reply.json()["files"]
        files = {file["filename"]: (await clients.stack.http.get(file["url"])).content for file in listed}
        assert job.files in (None, files)
        job.files = files
        check_lines(job, files)


async def check_end(clients: TwoClients, job: KnownJob) -> None:
    """Check the outcome of a job that has finished."""
    assert job.final
    assert job.final["prompt_count"] == job.final["completed_count"] + job.final["failed_count"]
    code = job.final["error"] and job.final["error"]["code"]
    assert code in JOB_ERRORS.get(job.status, {None})
    assert job.cancel_accepted or job.status != "CANCELLED"
    await check_results(clients, job)


def check_lines(job: KnownJob, files: dict[str, bytes]) -> None:
    """Check that each input line has one line in the results or the errors, in order and with the right content."""
    assert job.content is not None
    assert job.final is not None
    expected = expected_lines(job.content)
    line_of = {name: line for line, name in expected.items() if name}
    results = [line for name in sorted(files) if name != "errors.jsonl" for line in parse_lines(files[name])]
    errors = parse_lines(files["errors.jsonl"])
    answered, failed = [line_of[line["prompt_id"]] for line in results], [line["line"] for line in errors]
    assert answered == sorted(answered)
    assert failed == sorted(failed)
    assert sorted(answered + failed) == list(expected)
    assert (len(answered), len(failed)) == (job.final["completed_count"], job.final["failed_count"])
    assert len(expected) == job.final["prompt_count"]
    for line in results:
        assert line["result"].endswith(f"/{line['prompt_id'][3:]} HELLO")
    if job.cancel_accepted and job.status == "CANCELLED":
        codes = {line["error"] for line in errors if expected[line["line"]]}
        assert codes <= {"cancelled", "provider_error", "prompt_rejected", "worker_crash"}


def _reachable(status: str) -> set[str]:
    """Return a status and all that may follow it."""
    return {status}.union(*(_reachable(following) for following in TRANSITIONS[Status(status)]))
