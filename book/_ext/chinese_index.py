"""Sphinx extension: the glossary's Chinese terms stand in the index, under a heading of their own.

The first line of each entry holds the Chinese terms; those in parentheses are not in the document.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

HEADING = "中文"
HAN = re.compile("[\u4e00-\u9fff]")


def chinese_terms(definition: str) -> list[str]:
    """The Chinese terms that open a definition; none where the term is the same in Chinese."""
    line = definition.partition("\n")[0].strip().removesuffix(".")
    return [term for term in re.split(r",\s+|\s*[()]", line) if HAN.search(term)]


class ChineseIndex(SphinxTransform):
    """Adds to the index entry of each term of a glossary its Chinese."""

    default_priority = 800  # Sphinx collects the index at 850

    def apply(self, **options: Any) -> None:
        """Do it for every glossary of the page."""
        for glossary in self.document.findall(addnodes.glossary):
            for item in glossary.findall(nodes.definition_list_item):
                index = next(iter(item.findall(addnodes.index)))
                definition = next(iter(item.findall(nodes.definition))).astext()
                _, _, target, *_ = index["entries"][0]
                for term in chinese_terms(definition):
                    index["entries"].append(("single", term, target, "main", HEADING))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the transform."""
    app.add_transform(ChineseIndex)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
