"""Loads functions/*/main.py as functions-framework does, several in one process."""

import importlib.util
import sys
from functools import cache
from pathlib import Path

from functions_framework.aio import create_asgi_app_from_module
from starlette.types import ASGIApp

HTTP_FUNCTIONS = {
    "/v1/jobs/init": "init",
    "/v1/jobs/{job_id}/status": "status",
    "/v1/jobs/{job_id}/results": "results",
    "/v1/jobs/{job_id}/cancel": "cancel",
    "/v1/jobs/{job_id}": "delete",
    "/healthz": "init",
    "/health": "init",
    "/openapi.json": "init",
}
"""The documented paths, and the function that serves each."""

EVENT_FUNCTIONS = ("splitter", "worker", "finalizer", "sweeper", "eraser")


@cache
def functions_folder() -> Path:
    """The folder with one folder a function: in a checkout at its root, in an installed package inside it."""
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "functions"
    return checkout if (checkout / "init" / "main.py").is_file() else package / "functions"


@cache
def load_function(name: str) -> ASGIApp:
    """The ASGI app of one function. Each source gets a module name of its own; the framework would call all `main`."""
    source = functions_folder() / name / "main.py"
    module_name = f"promptforge_function_{name}"
    spec = importlib.util.spec_from_file_location(module_name, source)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {source}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    app: ASGIApp = create_asgi_app_from_module(name, str(source), None, module, spec)
    return app
