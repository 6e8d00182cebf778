"""Every setting, its default and its bounds, read once from the environment as PROMPTFORGE_<NAME>; and the few things
that are told by variables of others: of the providers, and of the platform a function runs on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from promptforge.errors import SettingsError

ENV_PREFIX = "PROMPTFORGE_"

PROVIDER_KEYS: dict[str, str | None] = {
    "echo": None,
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "mistral": "MISTRAL_API_KEY",
}
"""The providers there are, and the variable that holds the key of each."""

PROVIDER_URLS: dict[str, tuple[str, str]] = {
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "anthropic": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
    "mistral": ("MISTRAL_BASE_URL", "https://api.mistral.ai"),
}
"""The variable that may hold another address for a provider, and the address it has otherwise."""


GCP_REQUIRED = (
    "project",
    "region",
    "uploads_bucket",
    "work_bucket",
    "results_bucket",
    "function_url",
    "task_account",
)
"""The settings that every function on Google Cloud must have."""

GCP_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "init": ("upload_signer", "pepper"),
    "status": ("pepper",),
    "results": ("download_signer", "pepper"),
    "cancel": ("pepper",),
    "delete": ("pepper",),
    "splitter": ("event_account",),
    "worker": ("push_account",),
    "finalizer": (),
    "sweeper": ("timer_account",),
    "eraser": (),
}
"""What each must have besides: none is given a secret that it does not use."""

PLATFORM_VARIABLES = {
    "service": "K_SERVICE",
    "firestore_emulator": "FIRESTORE_EMULATOR_HOST",
    "pubsub_emulator": "PUBSUB_EMULATOR_HOST",
    "storage_emulator": "STORAGE_EMULATOR_HOST",
    "tasks_emulator": "CLOUD_TASKS_EMULATOR_HOST",
    "iam_emulator": "IAM_EMULATOR_HOST",
}
"""The settings with variables of their own: who the platform says we are, and where stand-ins for Google's services
are. The first three variables are those of Google's own tools; storage and IAM have URLs, the others HOST:PORT."""

PLATFORM_LIMIT = "CLOUD_RUN_TIMEOUT_SECONDS"
SHUTDOWN_MARGIN_SECONDS = 20  # to flush, give a chunk back and answer, once the last call is back


Dollars = Annotated[float, Field(ge=0)]


def _priced_as(name: str) -> str:
    """One name for what is asked in the same way: Gemini's models may be written with their collection."""
    return name.replace("gemini/models/", "gemini/", 1) if name.startswith("gemini/models/") else name


ModelName = Annotated[
    str,
    StringConstraints(pattern=rf"^({'|'.join(PROVIDER_KEYS)})/([^*]+|\*)$"),
    AfterValidator(_priced_as),
]


def _json(value: object) -> object:
    """A variable's text is JSON; what code gives is taken as it is."""
    return from_json(value) if isinstance(value, str) else value


class Settings(BaseModel):
    """Spans in seconds, sizes in bytes.

    With `backend` "gcp" the names of what Terraform made are settings: `name_prefix` begins the names of topics and
    queues, `function_url` is the address of every function, with {function} for its name. `task_account`,
    `push_account`, `event_account` and `timer_account` are the service accounts in whose name Cloud Tasks, Pub/Sub,
    Eventarc and Cloud Scheduler call; `upload_signer` and `download_signer` those in whose name URLs are signed.
    `max_open_jobs` is of each client, `requests_per_second` of each key, at each process that serves the API.
    `prices` names models as "provider/model", or all others of a provider as "provider/*", with the US dollars for a
    million input and a million output tokens.
    `pepper` keys the hashes of API keys. `service` is the Cloud Run service that this process is an instance of.

    `soft_deadline_seconds` is how long a chunk is worked on in one call of the worker. Where the platform limits
    calls, and nothing else is set, a provider call in flight then still comes back in time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: Literal["local", "gcp"] = "local"
    project: str = ""
    region: str = ""
    database: str = "(default)"
    uploads_bucket: str = ""
    work_bucket: str = ""
    results_bucket: str = ""
    name_prefix: str = "promptforge-"
    function_url: str = Field("", pattern=r"^(https?://[^\s{}]*\{function\}[^\s{}]*)?$")
    task_account: str = ""
    push_account: str = ""
    event_account: str = ""
    timer_account: str = ""
    upload_signer: str = ""
    download_signer: str = ""
    pepper: Annotated[str, StringConstraints(strip_whitespace=True)] = Field("", repr=False)
    service: str = ""
    firestore_emulator: str = ""
    pubsub_emulator: str = ""
    storage_emulator: str = ""
    tasks_emulator: str = ""
    iam_emulator: str = ""

    data_dir: Path = Path(".promptforge")
    public_url: str = "http://127.0.0.1:8080"
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    max_upload_bytes: int = Field(5 * 1024**3, ge=1)
    max_lines: int = Field(10_000_000, ge=1)
    max_line_bytes: int = Field(1024**2, ge=64)
    max_answer_bytes: int = Field(2 * 1024**2, ge=1024)
    upload_url_seconds: float = Field(15 * 60, gt=0)
    download_url_seconds: float = Field(60 * 60, gt=0)
    job_seconds: float = Field(24 * 60 * 60, gt=0)
    retention_days: int = Field(30, ge=1)

    max_active_jobs: int = Field(100, ge=1)
    requests_per_second: float = Field(50, gt=0)

    chunk_lines: int = Field(200, ge=1, le=2000)
    part_lines: int = Field(10_000, ge=1, le=10_000)

    lease_seconds: float = Field(60, gt=0)
    heartbeat_seconds: float = Field(10, gt=0)
    soft_deadline_seconds: float = Field(400, gt=0)
    drain_seconds: float = Field(7, ge=0, le=8)
    call_timeout_seconds: float = Field(120, gt=0)
    max_in_flight: int = Field(64, ge=1)
    flush_count: int = Field(50, ge=1)
    flush_bytes: int = Field(4 * 1024**2, ge=1)
    flush_seconds: float = Field(2, gt=0)
    max_inline_wait_seconds: float = Field(5, ge=0)

    echo_latency_seconds: float = Field(0, ge=0)
    echo_failure_rate: float = Field(0, ge=0, le=1)
    echo_throttle_rate: float = Field(0, ge=0, lt=1)

    prices: Annotated[dict[ModelName, tuple[Dollars, Dollars]], BeforeValidator(_json)] = {}

    provider_keys: dict[str, str] = Field(default={}, repr=False)
    provider_urls: dict[str, str] = {}

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **given: object) -> Self:
        """Read the environment; `given` values win over it. Raises SettingsError naming the variable at fault."""
        values: dict[str, object] = {
            name: environ[variable]
            for name in cls.model_fields
            if name not in ("provider_keys", "provider_urls")
            and (variable := PLATFORM_VARIABLES.get(name, ENV_PREFIX + name.upper())) in environ
        }
        values["provider_keys"] = {
            name: _key(variable, environ[variable].strip())
            for name, variable in PROVIDER_KEYS.items()
            if variable and environ.get(variable, "").strip()
        }
        values["provider_urls"] = {
            name: _url(variable, environ.get(variable) or default)
            for name, (variable, default) in PROVIDER_URLS.items()
        }
        try:
            settings = cls.model_validate(values | given)
        except ValidationError as exc:
            raise SettingsError(_sentence(exc)) from None
        if settings.heartbeat_seconds * 2 > settings.lease_seconds:
            raise SettingsError(f"{ENV_PREFIX}HEARTBEAT_SECONDS must be at most half of {ENV_PREFIX}LEASE_SECONDS.")
        if settings.backend == "gcp":
            settings._require_gcp_settings(environ.get("FUNCTION_TARGET", ""))
        limit = _limit(environ.get(PLATFORM_LIMIT) or "0")
        if limit > 0 and "soft_deadline_seconds" not in settings.model_fields_set:
            # a function that calls no provider has a short limit, and no use for what is left of it here
            left = max(limit - settings.call_timeout_seconds - SHUTDOWN_MARGIN_SECONDS, 1.0)
            return settings.model_copy(update={"soft_deadline_seconds": left})
        return settings

    def invokers(self, function: str) -> frozenset[str]:
        """The service accounts that may call an event function; any of them may be called by a task."""
        own = {"splitter": self.event_account, "worker": self.push_account, "sweeper": self.timer_account}
        return frozenset(filter(None, (self.task_account, own.get(function))))

    def url_of(self, function: str) -> str:
        """The address of a function on Google Cloud."""
        return self.function_url.replace("{function}", function)

    def price_of(self, provider: str, model: str) -> tuple[float, float] | None:
        """US dollars for a million input and a million output tokens of a model, or None where nobody has said."""
        return self.prices.get(_priced_as(f"{provider}/{model}"), self.prices.get(f"{provider}/*"))

    def missing_key(self, provider: str) -> str | None:
        """The variable that must be set before a provider can be used, or None."""
        variable = PROVIDER_KEYS[provider]
        return None if variable is None or provider in self.provider_keys else variable

    def _require_gcp_settings(self, function: str) -> None:
        """Raise SettingsError for what a function lacks; a process that is no function needs what any of them does."""
        every = [name for names in GCP_FUNCTIONS.values() for name in names]
        needed = (*GCP_REQUIRED, *GCP_FUNCTIONS.get(function, every))
        if missing := [ENV_PREFIX + name.upper() for name in dict.fromkeys(needed) if not getattr(self, name)]:
            raise SettingsError(f"With {ENV_PREFIX}BACKEND=gcp these must be set too: {', '.join(missing)}.")


def _limit(seconds: str) -> int:
    try:
        return int(seconds)
    except ValueError:
        raise SettingsError(f"{PLATFORM_LIMIT} must be a whole number of seconds.") from None


def _key(variable: str, key: str) -> str:
    """A key that can stand in an HTTP header; mounted secrets often end with a newline, which is stripped before."""
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{variable} holds a character that no API key can have.")
    return key


def _url(variable: str, url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", url):
        raise SettingsError(f"{variable} must be an address like https://host/v1.")
    return url.rstrip("/")


def _sentence(exc: ValidationError) -> str:
    fault = exc.errors(include_input=False, include_url=False)[0]
    name = ENV_PREFIX + str(fault["loc"][0]).upper()
    return f"The setting {name} is wrong: {fault['msg'][0].lower()}{fault['msg'][1:]}."
