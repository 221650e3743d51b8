"""Sphinx extension: docstrings as segtut writes them, for people who read them in an editor.

They are plain text with code in backticks, one or two, and arguments under `Args:` and the like.
reStructuredText would take a single backtick, an asterisk or a bar for markup of its own; here they
are spelled so that it does not. Napoleon then reads the sections.
"""

import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

ARRAY = re.compile(
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([\w.~]+)\]\]",
)
LINES = re.compile(r"<dl>\s*((?:<dd>(?:(?!<dd>).)*</dd>\s*)+)</dl>", re.DOTALL)
CODE = re.compile(r"``[^`]+``|`[^`]+`")
NAMED = re.compile(r"[a-z_][\w, ]*: ")
MARKUP = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")


def as_markup(line: str) -> str:
    """A line of a docstring in reStructuredText that shows it as it is."""
    parts, end = [], 0
    for code in CODE.finditer(line):
        parts += [MARKUP.sub(r"\\\g<0>", line[end : code.start()]), f"``{code[0].strip('`')}``"]
        end = code.end()
    return "".join([*parts, MARKUP.sub(r"\\\g<0>", line[end:])])


def as_items(lines: list[str]) -> list[str]:
    """Make list items of lines `name: …` that run on, indented, below."""
    found: list[str] = []
    inside = False
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        named = NAMED.match(line) is not None
        if named and (inside or below.startswith(" ")):
            found += [f"- {line}"] if inside else ["", f"- {line}"]
            inside = True
            continue
        inside = inside and line.startswith(" ")
        found.append(line)
    return found


def spell_out(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Rewrite a docstring in place. Code that runs on to the next line is put on one."""
    text = "\n".join(lines)
    text = re.sub(r"(?<!`)`[^`\n]+\n\s*[^`\n]+`", lambda code: re.sub(r"\s+", " ", code[0]), text)
    lines[:] = [as_markup(line) for line in as_items(text.split("\n"))]


def shorten(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Give NumPy's long types their short names back."""
    return short_types(signature), short_types(returns)


def short_types(text: str | None) -> str | None:
    """`ArrayLike` and `NDArray[...]` where a signature spells them out."""
    if text is None:
        return None
    text = text.replace(stringify_annotation(ArrayLike, "smart"), "ArrayLike")
    return ARRAY.sub(r"NDArray[\1]", text)


def lay_out_signatures(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Sphinx writes long signatures as lists of definitions without terms, which is no list."""
    if "body" in context:
        context["body"] = LINES.sub(
            lambda found: (
                '<span class="sig-lines">'
                + found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
                + "</span>"
            ),
            context["body"],
        )


def leave_out(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave the state of interactive figures out: it is between Python and the page."""
    from traitlets import TraitType

    return True if isinstance(obj, TraitType) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the steps; the spelling comes before Napoleon's reading, which has priority 500."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", spell_out, priority=400)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("html-page-context", lay_out_signatures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
