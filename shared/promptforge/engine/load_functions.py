"""Load functions/*/main.py as functions-framework does, several in one process."""

import importlib.util
import sys
from functools import cache
from pathlib import Path

from functions_framework.aio import create_asgi_app_from_module
from starlette.types import ASGIApp

from promptforge.domain.functions import FUNCTIONS
from promptforge.entrypoints.routes import ROUTES

HTTP_FUNCTIONS = {route.path: route.function for route in ROUTES}
"""The paths of the API, and the function that serves each."""

EVENT_FUNCTIONS = tuple(name for name, function in FUNCTIONS.items() if function.kind == "event")


@cache
def functions_folder() -> Path:
    """Return the folder with one folder per function: at the root of a checkout, or inside an installed package."""
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "functions"
    return checkout if (checkout / "init" / "main.py").is_file() else package / "functions"


@cache
def load_function(name: str) -> ASGIApp:
    """Return the ASGI app of one function.

    Each source gets its own module name, because the framework would call all of them `main`.
    """
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
