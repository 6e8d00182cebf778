"""Retired words are found in names and prose, and words in use are not."""

from pathlib import Path

import pytest
from tools.check_words import GLOSSARY, Glossary, check_source

TABLE = """
| word | meaning | not |
|---|---|---|
| gadget | A thing. | `gizmo`, thing, `wobbl*`, `hand* round` |
| gizmo box | Where it lies. | `MAX_GIZMOS`, `OldBox` |

| other | table |
|---|---|
| a | `b` |
"""


@pytest.fixture
def glossary() -> Glossary:
    return Glossary.parse(TABLE)


def found(glossary: Glossary, text: str) -> list[tuple[int, str]]:
    return [(line, retired.word) for line, retired in glossary.find(text)]


def test_parse_reads_the_words_in_backticks_of_tables_with_not(glossary: Glossary) -> None:
    assert [word.word for word in glossary.retired] == ["gizmo", "wobbl*", "hand* round", "MAX_GIZMOS", "OldBox"]
    assert {word.use for word in glossary.retired} == {"gadget", "gizmo box"}


@pytest.mark.parametrize("text", ["a gizmo.", "my_gizmo", "GizmoStore", "newGizmo", "GIZMO_COUNT", "gizmo2"])
def test_find_of_a_word_sees_prose_and_parts_of_names(glossary: Glossary, text: str) -> None:
    assert found(glossary, text) == [(1, "gizmo")]


@pytest.mark.parametrize("text", ["gizmos", "agizmo", "a gizmo box", "GizmoBox", "gizmo_boxes", "gizmo-boxed", "thing"])
def test_find_of_other_words_and_words_in_use_is_empty(glossary: Glossary, text: str) -> None:
    assert found(glossary, text) == []


def test_find_of_a_stem_sees_every_ending(glossary: Glossary) -> None:
    assert found(glossary, "It\nwobbles, wobbling\nunwobbled") == [(2, "wobbl*"), (2, "wobbl*")]


@pytest.mark.parametrize(
    "text", ["x\n# hand\n# round", "x\nhanded round", "x\nhand_round()", "x\nHandRound", "\nhands-round"]
)
def test_find_of_a_phrase_sees_line_breaks_and_names(glossary: Glossary, text: str) -> None:
    assert found(glossary, text) == [(2, "hand* round")]


def test_find_of_a_name_sees_the_whole_name_only(glossary: Glossary) -> None:
    assert found(glossary, "PROMPTFORGE_MAX_GIZMOS") == [(1, "MAX_GIZMOS")]
    assert found(glossary, "_old_box OldBox") == [(1, "OldBox")] * 2
    assert found(glossary, "max gizmos, an old box, the_old_box, OldBoxes") == []


def test_check_source_names_the_word_to_use(glossary: Glossary) -> None:
    assert [str(finding) for finding in check_source("a/my_gizmo.py", "x = 1\ny = gizmo + gizmo\n", glossary)] == [
        "a/my_gizmo.py:1: gizmo: use 'gadget' in the file name",
        "a/my_gizmo.py:2: gizmo: use 'gadget' in y = gizmo + gizmo",
    ]
    assert check_source(GLOSSARY, TABLE, glossary) == []


def test_real_glossary_refuses_what_it_retired_and_accepts_what_it_uses() -> None:
    real = Glossary.parse((Path(__file__).parents[2] / GLOSSARY).read_text(encoding="utf-8"))
    for retired in real.retired:
        assert retired.word in [word for _, word in found(real, retired.word.replace("*", ""))]
    assert [(word, found(real, word)) for word in real.current if found(real, word)] == []
    assert found(real, "heartbeat deadline deadlock gateway aggregate dead-lettered DeadLetterPolicy forward") == []
