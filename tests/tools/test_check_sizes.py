"""Sizes, imports of functions and untyped changes are limited."""

from tools.check_sizes import check_source


def rules(path: str, source: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in check_source(path, source)]


def test_check_source_limits_the_lines_of_a_file() -> None:
    assert rules("shared/a.py", "x = 1\n" * 300) == []
    assert rules("shared/a.py", "x = 1\n" * 301) == [(1, "file")]
    assert rules("functions/a/main.py", "x = 1\n" * 31) == [(1, "file")]


def test_check_source_limits_the_lines_of_a_function() -> None:
    assert rules("tests/a.py", "async def f():\n" + "    x = 1\n" * 39) == []
    assert rules("tests/a.py", "\nasync def f():\n" + "    x = 1\n" * 40) == [(2, "function")]


def test_check_source_counts_methods_and_properties_but_no_dunders() -> None:
    methods = "".join(f"    @property\n    def m{number}(self): ...\n" for number in range(15))
    source = f"class A:\n    def __init__(self): ...\n{methods}"
    assert rules("tests/a.py", source) == []
    assert rules("tests/a.py", f"{source}    async def _one_more(self): ...\n") == [(1, "class")]


def test_check_source_limits_the_imports_of_functions() -> None:
    source = "from promptforge.api.x import y\nimport functions_framework.aio\nfrom promptforge.apis import z\n"
    assert rules("functions/a/main.py", source) == [(1, "import")]
    assert rules("shared/a.py", source) == []


def test_check_source_refuses_untyped_changes() -> None:
    for parameter in ("**changes", "**changes: object", "**changes: typing.Any"):
        assert rules("shared/promptforge/adapters/a.py", f"def f({parameter}): ...\n") == [(1, "untyped")]
    assert rules("shared/promptforge/state/a.py", "def f(**fields: Any): ...\n") == [(1, "untyped")]
    assert rules("shared/promptforge/client/a.py", "def f(**fields: Any): ...\n") == []
    assert rules("shared/promptforge/state/a.py", "def f(**changes: int): ...\n") == []
    assert rules("tests/a.py", "def f(**changes: object): ...\n") == []
