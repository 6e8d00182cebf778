"""Descriptions and examples of API fields whose models carry none.

A description in the model's schema replaces the one here.
"""

from collections.abc import Mapping

JOB_ID = "3f7a1c2e-8f0b-4a51-9c55-0d1f6a7b2e43"

DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "*": {
        "job_id": "The id of the job.",
        "expires_at": "The time at which the URL stops working.",
        "provider": "The provider of the job.",
        "model": "The model, by the provider's name for it.",
        "max_retries": "How many times a failed prompt is called again.",
        "code": "A stable word for programs.",
    },
    "CreateJobRequest": {
        "system": "The system instruction of every prompt.",
        "max_tokens": "The maximum number of output tokens.",
        "temperature": "The sampling temperature.",
        "top_p": "The probability mass of nucleus sampling.",
        "stop": "A text, or up to 16 texts, at which the model stops.",
        "seed": "The seed of the sampling.",
        "response_format": "The required form of the answer. Each answer is validated.",
        "metadata": "An object that is copied to every result line and error line. The provider never receives it.",
        "extra": "Further fields of the provider's request body.",
        "max_cost_usd": "The job stops when its calls cost this many US dollars. Requires a configured price.",
    },
    "CreateJobResponse": {
        "upload_url": "The URL for the PUT of the input file. It accepts one file and needs no API key.",
    },
    "JobStatusResponse": {
        "status": "The status of the job.",
        "prompt_count": "The number of non-blank lines of the input; 0 until the file is split.",
        "completed_count": "The number of prompts with a result.",
        "failed_count": "The number of prompts with an error.",
        "tokens_used": "The input and output tokens of the results.",
        "input_tokens": "The input tokens of the results.",
        "output_tokens": "The output tokens of the results.",
        "cost_usd": "The cost of all calls in US dollars, or null without a configured price.",
        "max_cost_usd": "The cost limit, or the amount that the job reserves of a daily spend quota.",
        "created_at": "The time of creation.",
        "started_processing_at": "The time at which the file was split.",
        "completed_at": "The time at which the status became final.",
        "error": "Why the job failed, was stopped or was cancelled.",
        "waiting": "Why the job makes no progress at the moment.",
    },
    "JobError": {
        "message": "A sentence for people.",
    },
    "JobResultsResponse": {
        "status": "The final status of the job.",
        "files": "The result files in order, then `errors.jsonl`.",
        "manifest": "The file with the counts and checksums of all others.",
    },
    "ResultFile": {
        "filename": "The name of the file.",
        "url": "The URL of the file. It needs no API key and accepts a Range header.",
    },
    "HealthResponse": {
        "status": "Always `ok`.",
    },
    "ProblemDetails": {
        "type": "Always `about:blank`.",
        "status": "The HTTP status.",
        "detail": "A sentence for people: the cause, the field, and the remedy.",
    },
    "ResponseFormat": {
        "type": "`json_object` for any JSON object, `json_schema` for JSON that matches the schema.",
        "schema": "The JSON Schema. Required by `json_schema`. References to other documents are rejected.",
    },
}

EXAMPLES: Mapping[str, Mapping[str, object]] = {
    "*": {
        "job_id": JOB_ID,
        "provider": "echo",
        "model": "echo-1",
        "max_retries": 3,
        "status": "COMPLETED",
        "expires_at": "2026-11-23T05:43:01Z",
        "created_at": "2026-11-23T04:43:01.351Z",
        "started_processing_at": "2026-11-23T04:43:01.797Z",
        "completed_at": "2026-11-23T04:43:01.880Z",
        "prompt_count": 3,
        "completed_count": 3,
        "failed_count": 0,
        "tokens_used": 34,
        "input_tokens": 17,
        "output_tokens": 17,
        "cost_usd": None,
        "max_cost_usd": None,
        "error": None,
        "waiting": None,
        "code": "cost_limit",
        "message": "The job reached its cost limit.",
    },
    "CreateJobRequest": {
        "system": "Answer with one word.",
        "max_tokens": 100,
        "temperature": 0,
        "top_p": 1,
        "stop": ["\n\n"],
        "seed": 7,
        "response_format": {"type": "json_schema", "schema": {"type": "object"}},
        "metadata": {"batch": 17},
        "extra": {"top_k": 40},
        "max_cost_usd": 5,
    },
    "CreateJobResponse": {
        "upload_url": f"http://127.0.0.1:8080/storage/uploads/{JOB_ID}/input.jsonl?signature=…",
    },
    "ResultFile": {
        "filename": "results_part_001.jsonl",
        "url": f"http://127.0.0.1:8080/storage/results/{JOB_ID}/results_part_001.jsonl?signature=…",
    },
    "HealthResponse": {"status": "ok"},
    "ProblemDetails": {"status": 404, "code": "job_not_found", "detail": "Job not found."},
    "ResponseFormat": {
        "type": "json_schema",
        "schema": {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]},
    },
}
