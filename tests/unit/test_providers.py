"""The table of providers."""

from pathlib import Path

import pytest

from promptforge.bootstrap import build_context, build_worker_runtime
from promptforge.domain.formats.params import PARAMS
from promptforge.domain.providers import JSON_OBJECT, PROVIDERS, Provider
from promptforge.settings import Settings


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
async def test_provider_row_names_an_adapter_that_can_be_built(tmp_path: Path, provider: Provider) -> None:
    environ = {provider.key_variable: "key"} if provider.key_variable else {}
    context = build_context(Settings.from_env(environ, data_dir=tmp_path))
    runtime = build_worker_runtime(context)
    try:
        assert runtime.provider(provider.name)
    finally:
        await runtime.close()
        await context.close()


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_provider_row_is_consistent(provider: Provider) -> None:
    assert (provider.url_variable is None) == (provider.default_url is None)
    assert provider.unsupported <= {*PARAMS, JSON_OBJECT}
