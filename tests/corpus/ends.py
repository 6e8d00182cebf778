"""Nothing at all, byte order marks, and the ends of lines (faults F07, F10, F11)."""

from tests.corpus.case import AROUND, FIRST, LAST, Case, bad, fine, hopeless, refused, row

BOM = b"\xef\xbb\xbf"
MARK = "byte order mark"

EMPTY = [
    refused("no bytes", b"", "empty_input"),
    refused("one line feed", b"\n", "empty_input"),
    refused("one carriage return", b"\r", "empty_input"),
    refused("one space", b" ", "empty_input"),
    refused("one Windows line end", b"\r\n", "empty_input"),
    refused("fifty thousand line feeds", b"\n" * 50_000, "empty_input"),
    refused("spaces and tabs", b"  \n\t\n \t \n   ", "empty_input"),
    refused("a megabyte of spaces over many lines", (b" " * 1000 + b"\r\n") * 1000, "empty_input"),
    refused("vertical tabs and form feeds", b"\x0b\n\x0c\n", "empty_input"),
    refused("a byte order mark", BOM, "empty_input"),
    refused("a byte order mark and blank lines", BOM + b"\r\n \n", "empty_input"),
    hopeless("a no-break space", b"\xc2\xa0", (1, "invalid_json", None)),
    hopeless("a line separator", "\u2028".encode(), (1, "invalid_json", None)),
    hopeless("a wide space on the second line", "\n\u3000\n".encode(), (2, "invalid_json", None)),
    hopeless("a space of no width", "\u200b".encode(), (1, "invalid_json", None)),
    hopeless("one NUL", b"\x00", (1, "invalid_json", None)),
    hopeless("the end of file of DOS", b"\x1a", (1, "invalid_json", None)),
    hopeless("three blank lines and a word", b"\n\n\nhello", (4, "invalid_json", None)),
]

MARKS = [
    Case("mark at the start", BOM + FIRST + b"\n" + LAST, 2, AROUND),
    Case("mark and Windows line ends", BOM + FIRST + b"\r\n" + LAST + b"\r\n", 2, AROUND),
    Case("mark, blank lines, prompts", BOM + b"\n\n" + FIRST + b"\n" + LAST, 2, AROUND),
    Case(
        "mark and nothing bad but line 3", BOM + FIRST + b"\n" + LAST + b"\n!", 3, AROUND, ((3, "invalid_json", None),)
    ),
    Case("two marks", BOM + BOM + FIRST + b"\n" + LAST, 2, AROUND[1:], ((1, "invalid_json", None),), said={1: MARK}),
    Case("mark after a blank line", b"\n" + BOM + FIRST + b"\n" + LAST, 2, AROUND[1:], ((2, "invalid_json", None),)),
    Case("mark alone at the end", FIRST + b"\n" + LAST + b"\n" + BOM, 3, AROUND, ((3, "invalid_json", None),)),
    bad("mark inside the file, as of joined files", BOM + row("x"), "invalid_json", said=MARK),
    bad("mark after a space", b" " + BOM + row("x"), "invalid_json"),
    bad("mark after the object", row("x") + BOM, "invalid_json"),
    bad("two bytes of a mark inside the file", BOM[:2] + row("x"), "invalid_utf8"),
    fine("mark inside a text", row("second", "\ufefftwo"), text="\ufefftwo"),
    fine("mark inside an id", row("\ufeffsecond", "two"), "\ufeffsecond"),
    hopeless("two bytes of a mark", BOM[:2], (1, "invalid_utf8", None)),
    hopeless("one byte of a mark", BOM[:1], (1, "invalid_utf8", None)),
    hopeless("two marks and nothing", BOM + BOM, (1, "invalid_json", None)),
    hopeless("two bytes of a mark and a prompt", BOM[:2] + FIRST, (1, "invalid_utf8", None)),
    hopeless("a mark and a bad line", BOM + b"bad", (1, "invalid_json", None)),
    hopeless("the mark of UTF-7", b"+/v8-" + FIRST, (1, "invalid_json", None)),
    hopeless("the mark of UTF-16 before UTF-8", b"\xff\xfe" + FIRST, (1, "invalid_utf8", None)),
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
    hopeless("carriage returns alone, as of an old Mac", FIRST + b"\r" + LAST + b"\r", (1, "invalid_json", None)),
    hopeless("form feeds alone", FIRST + b"\x0c" + LAST, (1, "invalid_json", None)),
    hopeless("next-line characters alone", FIRST + b"\xc2\x85" + LAST, (1, "invalid_json", None)),
    hopeless("line separators alone", FIRST + "\u2028".encode() + LAST, (1, "invalid_json", None)),
    Case(
        "blank lines keep their number",
        b"\n \n" + FIRST + b"\n\t\r\n?\n\n" + LAST,
        3,
        AROUND,
        ((5, "invalid_json", None),),
    ),
    Case("the last line is cut", FIRST + b"\n" + LAST[:-9], 2, AROUND[:1], ((2, "invalid_json", None),)),
    Case(
        "the last character is cut", FIRST + b'\n{"prompt_id": "\xe4\xb8', 2, AROUND[:1], ((2, "invalid_utf8", None),)
    ),
    fine("a line separator in the text", row("second", "a\u2028b"), text="a\u2028b"),
    fine("a paragraph separator in the text", row("second", "a\u2029b"), text="a\u2029b"),
    fine("a next-line character in the text", row("second", "a\u0085b"), text="a\u0085b"),
    fine(
        "every escaped control character",
        row("second", "".join(map(chr, range(32)))),
        text="".join(map(chr, range(32))),
    ),
    fine(
        "delete and the C1 controls",
        row("second", "".join(map(chr, range(127, 160)))),
        text="".join(map(chr, range(127, 160))),
    ),
    fine(
        "escaped line ends in text and id", rb'{"prompt_id": "a\nb\r\n", "prompt": "c\nd\r\n"}', "a\nb\r\n", "c\nd\r\n"
    ),
    bad("a vertical tab in the text", b'{"prompt_id": "x", "prompt": "a\x0bb"}', "invalid_json"),
    bad("a vertical tab before the object", b"\x0b" + row("x"), "invalid_json"),
    bad("a form feed after the object", row("x") + b"\x0c", "invalid_json"),
    bad("a no-break space before the object", b"\xc2\xa0" + row("x"), "invalid_json"),
    bad("a line separator after the object", row("x") + "\u2028".encode(), "invalid_json"),
    Case(
        "a line feed inside a text",
        FIRST + b'\n{"prompt_id": "x", "prompt": "a\nb"}\n' + LAST,
        4,
        AROUND,
        ((2, "invalid_json", None), (3, "invalid_json", None)),
    ),
]

CASES = [*EMPTY, *MARKS, *ENDS]
