"""Empty files, byte order marks, and the ends of lines."""

from tests.corpus.case import AROUND, FIRST, LAST, Case, invalid, no_valid_line, rejected, row, valid

BOM = b"\xef\xbb\xbf"
MARK = "byte order mark"

EMPTY = [
    rejected("no bytes", b"", "empty_input"),
    rejected("one line feed", b"\n", "empty_input"),
    rejected("one carriage return", b"\r", "empty_input"),
    rejected("one space", b" ", "empty_input"),
    rejected("one Windows line end", b"\r\n", "empty_input"),
    rejected("fifty thousand line feeds", b"\n" * 50_000, "empty_input"),
    rejected("spaces and tabs", b"  \n\t\n \t \n   ", "empty_input"),
    rejected("a megabyte of spaces over many lines", (b" " * 1000 + b"\r\n") * 1000, "empty_input"),
    rejected("vertical tabs and form feeds", b"\x0b\n\x0c\n", "empty_input"),
    rejected("a byte order mark", BOM, "empty_input"),
    rejected("a byte order mark and blank lines", BOM + b"\r\n \n", "empty_input"),
    no_valid_line("a no-break space", b"\xc2\xa0", (1, "invalid_json", None)),
    no_valid_line("a line separator", "\u2028".encode(), (1, "invalid_json", None)),
    no_valid_line("a wide space on the second line", "\n\u3000\n".encode(), (2, "invalid_json", None)),
    no_valid_line("a space of no width", "\u200b".encode(), (1, "invalid_json", None)),
    no_valid_line("one NUL", b"\x00", (1, "invalid_json", None)),
    no_valid_line("the end of file of DOS", b"\x1a", (1, "invalid_json", None)),
    no_valid_line("three blank lines and a word", b"\n\n\nhello", (4, "invalid_json", None)),
]

MARKS = [
    Case("mark at the start", BOM + FIRST + b"\n" + LAST, 2, AROUND),
    Case("mark and Windows line ends", BOM + FIRST + b"\r\n" + LAST + b"\r\n", 2, AROUND),
    Case("mark, blank lines, prompts", BOM + b"\n\n" + FIRST + b"\n" + LAST, 2, AROUND),
    Case("mark, and one invalid line", BOM + FIRST + b"\n" + LAST + b"\n!", 3, AROUND, ((3, "invalid_json", None),)),
    Case("two marks", BOM + BOM + FIRST + b"\n" + LAST, 2, AROUND[1:], ((1, "invalid_json", None),), words={1: MARK}),
    Case("mark after a blank line", b"\n" + BOM + FIRST + b"\n" + LAST, 2, AROUND[1:], ((2, "invalid_json", None),)),
    Case("mark alone at the end", FIRST + b"\n" + LAST + b"\n" + BOM, 3, AROUND, ((3, "invalid_json", None),)),
    invalid("mark inside the file, as of joined files", BOM + row("x"), "invalid_json", words=MARK),
    invalid("mark after a space", b" " + BOM + row("x"), "invalid_json"),
    invalid("mark after the object", row("x") + BOM, "invalid_json"),
    invalid("two bytes of a mark inside the file", BOM[:2] + row("x"), "invalid_utf8"),
    valid("mark inside a text", row("second", "\ufefftwo"), text="\ufefftwo"),
    valid("mark inside an id", row("\ufeffsecond", "two"), "\ufeffsecond"),
    no_valid_line("two bytes of a mark", BOM[:2], (1, "invalid_utf8", None)),
    no_valid_line("one byte of a mark", BOM[:1], (1, "invalid_utf8", None)),
    no_valid_line("two marks and nothing", BOM + BOM, (1, "invalid_json", None)),
    no_valid_line("two bytes of a mark and a prompt", BOM[:2] + FIRST, (1, "invalid_utf8", None)),
    no_valid_line("a mark and an invalid line", BOM + b"bad", (1, "invalid_json", None)),
    no_valid_line("the mark of UTF-7", b"+/v8-" + FIRST, (1, "invalid_json", None)),
    no_valid_line("the mark of UTF-16 before UTF-8", b"\xff\xfe" + FIRST, (1, "invalid_utf8", None)),
]

ENDS = [
    Case("no last line feed", FIRST + b"\n" + LAST, 2, AROUND),
    Case("one prompt and no line feed", FIRST, 1, AROUND[:1]),
    Case("many line feeds at the end", FIRST + b"\n" + LAST + b"\n\n\n\n", 2, AROUND),
    Case("Windows line ends", FIRST + b"\r\n" + LAST + b"\r\n", 2, AROUND),
    Case("Windows line ends, the last one half", FIRST + b"\r\n" + LAST + b"\r", 2, AROUND),
    Case("both kinds of line ends", FIRST + b"\r\n\n\r\n" + LAST + b"\n", 2, AROUND),
    Case("two carriage returns a line", FIRST + b"\r\r\n" + LAST + b"\r\r\n", 2, AROUND),
    Case("line ends the wrong way round", FIRST + b"\n\r" + LAST + b"\n\r", 2, AROUND),
    Case("spaces and tabs around", b"\t " + FIRST + b" \t\n  " + LAST + b"  ", 2, AROUND),
    no_valid_line("carriage returns alone, as of an old Mac", FIRST + b"\r" + LAST + b"\r", (1, "invalid_json", None)),
    no_valid_line("form feeds alone", FIRST + b"\x0c" + LAST, (1, "invalid_json", None)),
    no_valid_line("next-line characters alone", FIRST + b"\xc2\x85" + LAST, (1, "invalid_json", None)),
    no_valid_line("line separators alone", FIRST + "\u2028".encode() + LAST, (1, "invalid_json", None)),
    Case(
        "blank lines keep their number",
        b"\n \n" + FIRST + b"\n\t\r\n?\n\n" + LAST,
        3,
        AROUND,
        ((5, "invalid_json", None),),
    ),
    Case("the last line is truncated", FIRST + b"\n" + LAST[:-9], 2, AROUND[:1], ((2, "invalid_json", None),)),
    Case(
        "the last character is truncated",
        FIRST + b'\n{"prompt_id": "\xe4\xb8',
        2,
        AROUND[:1],
        ((2, "invalid_utf8", None),),
    ),
    valid("a line separator in the text", row("second", "a\u2028b"), text="a\u2028b"),
    valid("a paragraph separator in the text", row("second", "a\u2029b"), text="a\u2029b"),
    valid("a next-line character in the text", row("second", "a\u0085b"), text="a\u0085b"),
    valid(
        "every escaped control character",
        row("second", "".join(map(chr, range(32)))),
        text="".join(map(chr, range(32))),
    ),
    valid(
        "delete and the C1 controls",
        row("second", "".join(map(chr, range(127, 160)))),
        text="".join(map(chr, range(127, 160))),
    ),
    valid(
        "escaped line ends in text and id", rb'{"prompt_id": "a\nb\r\n", "prompt": "c\nd\r\n"}', "a\nb\r\n", "c\nd\r\n"
    ),
    invalid("a vertical tab in the text", b'{"prompt_id": "x", "prompt": "a\x0bb"}', "invalid_json"),
    invalid("a vertical tab before the object", b"\x0b" + row("x"), "invalid_json"),
    invalid("a form feed after the object", row("x") + b"\x0c", "invalid_json"),
    invalid("a no-break space before the object", b"\xc2\xa0" + row("x"), "invalid_json"),
    invalid("a line separator after the object", row("x") + "\u2028".encode(), "invalid_json"),
    Case(
        "a line feed inside a text",
        FIRST + b'\n{"prompt_id": "x", "prompt": "a\nb"}\n' + LAST,
        4,
        AROUND,
        ((2, "invalid_json", None), (3, "invalid_json", None)),
    ),
]

CASES = [*EMPTY, *MARKS, *ENDS]
