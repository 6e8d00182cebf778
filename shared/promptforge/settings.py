"""Every setting with its default and its bounds, read once from the environment as PROMPTFORGE_<NAME>.

The keys and addresses of providers and the values of the platform have variables of their own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from promptforge.domain.functions import FUNCTIONS
from promptforge.domain.limits.pricing import Dollars, Price, PricedModel, find_price
from promptforge.domain.providers import PROVIDERS
from promptforge.errors import SettingsError

ENV_PREFIX = "PROMPTFORGE_"

PROVIDER_KEYS = {name: provider.key_variable for name, provider in PROVIDERS.items()}
"""The variable with the API key of each provider, None for a provider without one."""

PROVIDER_URLS = {
    name: (provider.url_variable, provider.default_url)
    for name, provider in PROVIDERS.items()
    if provider.url_variable and provider.default_url
}
"""The variable that may hold another address of a provider, and the provider's own address."""

GCP_REQUIRED = (
    "project",
    "region",
    "uploads_bucket",
    "work_bucket",
    "results_bucket",
    "function_url",
    "task_account",
)
"""The settings that every function on Google Cloud requires."""

PLATFORM_VARIABLES = {
    "service": "K_SERVICE",
    "firestore_emulator": "FIRESTORE_EMULATOR_HOST",
    "pubsub_emulator": "PUBSUB_EMULATOR_HOST",
    "storage_emulator": "STORAGE_EMULATOR_HOST",
    "tasks_emulator": "CLOUD_TASKS_EMULATOR_HOST",
    "iam_emulator": "IAM_EMULATOR_HOST",
}
"""The settings with the variables of the platform and of Google's own tools instead of PROMPTFORGE_<NAME>."""

PLATFORM_LIMIT = "CLOUD_RUN_TIMEOUT_SECONDS"
SHUTDOWN_MARGIN_SECONDS = 20  # to flush, release the chunk and respond after the last call has returned


def _json(value: object) -> object:
    """Parse the text of a variable as JSON.

    A value from code is used as it is.
    """
    return from_json(value) if isinstance(value, str) else value


class Settings(BaseModel):
    """The settings of a process."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: Literal["local", "gcp"] = Field(
        "local", description="Where jobs are stored: this machine, or Google Cloud."
    )
    project: str = Field("", description="The Google Cloud project.")
    region: str = Field("", description="The region of the functions and queues.")
    database: str = Field("(default)", description="The Firestore database.")
    uploads_bucket: str = Field("", description="The bucket of the uploaded input files.")
    work_bucket: str = Field("", description="The bucket of the segments and parts of chunks.")
    results_bucket: str = Field("", description="The bucket of the published result files.")
    name_prefix: str = Field("promptforge-", description="The prefix of the names of topics and queues.")
    function_url: str = Field(
        "",
        pattern=r"^(https?://[^\s{}]*\{function\}[^\s{}]*)?$",
        description="The URL of every function, with {function} in place of its name.",
    )
    task_account: str = Field("", description="The service account with which Cloud Tasks calls functions.")
    push_account: str = Field("", description="The service account with which Pub/Sub calls the worker.")
    event_account: str = Field("", description="The service account with which Eventarc calls the splitter.")
    timer_account: str = Field("", description="The service account with which Cloud Scheduler calls the sweeper.")
    upload_signer: str = Field("", description="The service account that signs upload URLs.")
    download_signer: str = Field("", description="The service account that signs download URLs.")
    pepper: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        "", repr=False, description="The secret key of the hashes of API keys."
    )
    service: str = Field("", description="The Cloud Run service of this process, set by the platform.")
    firestore_emulator: str = Field("", description="HOST:PORT of a Firestore emulator.")
    pubsub_emulator: str = Field("", description="HOST:PORT of a Pub/Sub emulator.")
    storage_emulator: str = Field("", description="The URL of a Cloud Storage emulator.")
    tasks_emulator: str = Field("", description="HOST:PORT of a Cloud Tasks emulator.")
    iam_emulator: str = Field("", description="The URL of an IAM emulator, which signs URLs.")

    data_dir: Path = Field(Path(".promptforge"), description="The folder of all state on one machine.")
    public_url: str = Field("http://127.0.0.1:8080", description="The URL at which clients reach the engine.")
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="The lowest level that is logged. Log lines are JSON on standard error.",
    )

    max_upload_bytes: int = Field(5 * 1024**3, ge=1, description="Maximum size of an upload in bytes.")
    max_lines: int = Field(10_000_000, ge=1, description="Maximum number of lines of an upload.")
    max_line_bytes: int = Field(1024**2, ge=64, description="Maximum size of an input line in bytes.")
    max_answer_bytes: int = Field(2 * 1024**2, ge=1024, description="Maximum size of a provider's response in bytes.")
    upload_url_seconds: float = Field(15 * 60, gt=0, description="Seconds for which an upload URL is valid.")
    download_url_seconds: float = Field(60 * 60, gt=0, description="Seconds for which a download URL is valid.")
    job_seconds: float = Field(
        24 * 60 * 60, gt=0, description="Seconds after its creation at which a job is stopped. Its answers are kept."
    )
    retention_days: int = Field(30, ge=1, description="Days after its deadline at which a job expires and is erased.")

    max_active_jobs: int = Field(100, ge=1, description="Maximum number of active jobs of a client.")
    requests_per_second: float = Field(
        50, gt=0, description="Maximum requests per second of an API key, in each process that serves the API."
    )

    chunk_lines: int = Field(200, ge=1, le=2000, description="Maximum number of lines of a chunk.")
    part_lines: int = Field(10_000, ge=1, le=10_000, description="Maximum number of lines of a result file.")

    lease_seconds: float = Field(60, gt=0, description="Seconds after which a lease expires unless it is renewed.")
    heartbeat_seconds: float = Field(
        10, gt=0, description="Seconds between two renewals of a lease, at most half of lease_seconds."
    )
    soft_deadline_seconds: float = Field(
        400,
        gt=0,
        description="Seconds after which a worker releases its chunk. If the platform limits the duration of a request,"
        " the default is early enough for a call in flight to return within that limit.",
    )
    drain_seconds: float = Field(
        7, ge=0, le=8, description="Seconds for which a worker waits for calls in flight after SIGTERM."
    )
    call_timeout_seconds: float = Field(120, gt=0, description="Timeout of one provider call in seconds.")
    max_in_flight: int = Field(64, ge=1, description="Maximum number of concurrent provider calls of a process.")
    flush_count: int = Field(50, ge=1, description="Number of buffered answers at which they are flushed.")
    flush_bytes: int = Field(4 * 1024**2, ge=1, description="Bytes of buffered answers at which they are flushed.")
    flush_seconds: float = Field(2, gt=0, description="Seconds between two flushes of buffered answers.")
    max_inline_wait_seconds: float = Field(
        5, ge=0, description="Longest wait of a throttled worker in seconds. It releases the chunk for a longer one."
    )

    echo_latency_seconds: float = Field(0, ge=0, description="Seconds that the echo provider takes for a call.")
    echo_failure_rate: float = Field(0, ge=0, le=1, description="Fraction of the prompts that echo fails.")
    echo_throttle_rate: float = Field(0, ge=0, lt=1, description="Fraction of the calls that echo throttles.")

    prices: Annotated[dict[PricedModel, tuple[Dollars, Dollars]], BeforeValidator(_json)] = Field(
        {},
        description="US dollars per million input and output tokens, by `provider/model`, or `provider/*` for all other"
        " models of a provider. JSON in the environment.",
    )

    provider_keys: dict[str, str] = Field({}, repr=False, description="API keys by provider.")
    provider_urls: dict[str, str] = Field({}, description="Base URLs by provider.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **given: object) -> Self:
        """Return the settings of an environment.

        Values in `given` override variables. Raises SettingsError with the name of the variable to change.
        """
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
            raise SettingsError(_message(exc)) from None
        if settings.heartbeat_seconds * 2 > settings.lease_seconds:
            raise SettingsError(f"{ENV_PREFIX}HEARTBEAT_SECONDS must be at most half of {ENV_PREFIX}LEASE_SECONDS.")
        if settings.backend == "gcp":
            settings._require_gcp_settings(environ.get("FUNCTION_TARGET", ""))
        return settings._within_platform_limit(_seconds(PLATFORM_LIMIT, environ.get(PLATFORM_LIMIT) or "0"))

    def invokers(self, function: str) -> frozenset[str]:
        """Return the service accounts that may call an event function."""
        own = FUNCTIONS[function].invoker
        return frozenset(filter(None, (self.task_account, getattr(self, own) if own else "")))

    def url_of(self, function: str) -> str:
        """Return the URL of a function on Google Cloud."""
        return self.function_url.replace("{function}", function)

    def price_of(self, provider: str, model: str) -> Price | None:
        """Return US dollars per million input and output tokens of a model, or None without a configured price."""
        return find_price(self.prices, provider, model)

    def missing_key(self, provider: str) -> str | None:
        """Return the variable that a provider requires and that is not set, or None."""
        variable = PROVIDER_KEYS[provider]
        return None if variable is None or provider in self.provider_keys else variable

    def _require_gcp_settings(self, function: str) -> None:
        """Raise SettingsError if a setting that the function requires is empty.

        A process that is not a function requires the settings of all functions.
        """
        functions = [FUNCTIONS[function]] if function in FUNCTIONS else FUNCTIONS.values()
        required = dict.fromkeys((*GCP_REQUIRED, *(name for each in functions for name in each.required_settings)))
        if missing := [ENV_PREFIX + name.upper() for name in required if not getattr(self, name)]:
            raise SettingsError(f"{ENV_PREFIX}BACKEND=gcp also requires {', '.join(missing)}.")

    def _within_platform_limit(self, limit_seconds: int) -> Self:
        """Return the settings with a soft deadline within the platform's limit of a request, unless it is set.

        A function that calls no provider may have a short limit. It does not use the soft deadline.
        """
        if limit_seconds <= 0 or "soft_deadline_seconds" in self.model_fields_set:
            return self
        soft_deadline = max(limit_seconds - self.call_timeout_seconds - SHUTDOWN_MARGIN_SECONDS, 1.0)
        return self.model_copy(update={"soft_deadline_seconds": soft_deadline})


def _seconds(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{variable} must be a whole number of seconds.") from None


def _key(variable: str, key: str) -> str:
    """Return an API key that an HTTP header can hold.

    The caller strips it, because mounted secrets often end with a newline.
    """
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{variable} contains a character that is invalid in an API key.")
    return key


def _url(variable: str, url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", url):
        raise SettingsError(f"{variable} must be a URL such as https://host/v1.")
    return url.rstrip("/")


def _message(exc: ValidationError) -> str:
    error = exc.errors(include_input=False, include_url=False)[0]
    name = ENV_PREFIX + str(error["loc"][0]).upper()
    return f"Invalid setting {name}: {error['msg'][0].lower()}{error['msg'][1:]}."
