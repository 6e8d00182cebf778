"""Sentences are found with their lines, and what is no prose is left out."""

from tools.sentences import Line, Sentence, sentences


def split(text: str) -> list[tuple[int, str]]:
    lines = [Line(number, line) for number, line in enumerate(text.split("\n"), 1)]
    return [(sentence.line, sentence.text) for sentence in sentences(lines)]


def test_sentences_over_line_breaks_start_on_their_own_line() -> None:
    assert split("One is here. Two starts\nand ends. Three\nends (too).") == [
        (1, "One is here."),
        (1, "Two starts and ends."),
        (2, "Three ends (too)."),
    ]


def test_sentences_with_abbreviations_and_code_stay_whole() -> None:
    text = "Use a name, e.g. `a. b`, i.e. one of https://x.org/a.html? no."
    assert split(text) == [(1, text[: -len(" no.")]), (1, "no.")]


def test_sentences_of_list_items_and_headings_are_separate() -> None:
    text = "# Title\nText\n- first item\n  goes on\n- second\n1. third"
    assert split(text) == [(1, "Title"), (2, "Text"), (3, "first item goes on"), (5, "second"), (6, "third")]


def test_sentences_skip_usage_fences_and_doctests() -> None:
    text = "Before.\n\n    make this\n    and that\n\n```sh\ncode here\n```\n>>> call()\nvalue\n\nAfter."
    assert split(text) == [(1, "Before."), (12, "After.")]


def test_sentences_of_a_section_are_its_entries() -> None:
    text = "Read it.\n\nRaises:\n    Conflict: another process\n        was first.\n    OSError: no disk."
    assert split(text) == [
        (1, "Read it."),
        (3, "Raises:"),
        (4, "Conflict: another process was first."),
        (6, "OSError: no disk."),
    ]


def test_sentences_of_a_table_are_its_cells() -> None:
    rows = [Line(1, "| a `b|c` | d |"), Line(2, "|---|---|"), Line(3, "after")]
    assert list(sentences(rows)) == [
        Sentence(1, "a `b|c`", "a xxxxx", in_table=True),
        Sentence(1, "d", "d", in_table=True),
        Sentence(3, "after", "after"),
    ]


def test_word_count_takes_code_and_urls_as_one_word() -> None:
    (sentence,) = sentences([Line(1, "Call `f(a, b, c)` at https://x.org/a/b -- or *not*.")])
    assert sentence.word_count == 6
