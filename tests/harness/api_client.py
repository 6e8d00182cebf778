"""A client of the API for tests: it checks each response and returns its content."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.harness.canary import find_leaks
from tests.harness.lines import Line, parse_lines


@dataclass(kw_only=True)
class ApiClient:
    """A client with one key."""

    http: httpx.AsyncClient
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate the client."""
        return {"X-API-Key": self.key}

    async def init(self, **fields: Any) -> dict[str, Any]:
        """Create a job with these fields, of the provider `echo` by default."""
        body = {"provider": "echo", "model": "echo-1", **fields}
        response = await self.http.post("/v1/jobs/init", json=body, headers=self.headers)
        assert response.status_code == 202, response.text
        created: dict[str, Any] = response.json()
        return created

    async def put(self, url: str, content: bytes) -> httpx.Response:
        """Upload content to an upload URL."""
        return await self.http.put(url, content=content, headers={"Content-Type": "application/octet-stream"})

    async def submit(self, content: bytes, **fields: Any) -> str:
        """Create a job and upload its input.

        Returns the job id.
        """
        created = await self.init(**fields)
        response = await self.put(created["upload_url"], content)
        assert response.status_code == 200, response.text
        job_id: str = created["job_id"]
        return job_id

    async def status(self, job_id: str) -> dict[str, Any]:
        """Return the status of a job as the API shows it."""
        response = await self.http.get(f"/v1/jobs/{job_id}/status", headers=self.headers)
        assert response.status_code == 200, response.text
        assert not find_leaks(response.text)
        status: dict[str, Any] = response.json()
        return status

    async def cancel(self, job_id: str) -> httpx.Response:
        """Request the cancellation of a job."""
        return await self.http.post(f"/v1/jobs/{job_id}/cancel", headers=self.headers)

    async def delete(self, job_id: str) -> httpx.Response:
        """Request the deletion of a job."""
        return await self.http.delete(f"/v1/jobs/{job_id}", headers=self.headers)

    async def files(self, job_id: str) -> dict[str, bytes]:
        """Download the result files of a job by their signed URLs."""
        response = await self.http.get(f"/v1/jobs/{job_id}/results", headers=self.headers)
        assert response.status_code == 200, response.text
        return {file["filename"]: (await self.http.get(file["url"])).content for file in response.json()["files"]}

    async def results(self, job_id: str) -> list[Line]:
        """Return every result line, in the order of the files."""
        files = await self.files(job_id)
        return [line for name in sorted(files) if name.startswith("results_part") for line in parse_lines(files[name])]

    async def errors(self, job_id: str) -> list[Line]:
        """Return every error line."""
        lines = parse_lines((await self.files(job_id))["errors.jsonl"])
        assert not [line for line in lines if find_leaks(line.get("message", ""))]
        return lines
