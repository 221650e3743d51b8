"""A number and its percent sign stay on one line."""

from docutils import nodes

from book._ext.no_break import NO_BREAK, keep_together


def page(*parts: nodes.Node) -> nodes.document:
    document = nodes.document(None, None)
    document += nodes.paragraph("", "", *parts)
    return document


def test_number_that_a_run_gave_keeps_its_percent_sign():
    given = page(
        nodes.Text("of "),
        nodes.inline("", "23", classes=["pasted-text"]),
        nodes.Text(" % of it, 12.5 % and 9 %; 7 parts"),
    )
    keep_together(None, given)
    assert given.astext() == f"of 23{NO_BREAK}% of it, 12.5{NO_BREAK}% and 9{NO_BREAK}%; 7 parts"


def test_code_and_words_stay_as_they_are():
    given = page(nodes.literal("", "7 % 3"), nodes.Text(" is a remainder, a % sign is none"))
    keep_together(None, given)
    assert given.astext() == "7 % 3 is a remainder, a % sign is none"
