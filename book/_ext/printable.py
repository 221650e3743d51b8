"""Sphinx extension: the one-page build becomes a page for paper, which `book/_ext/pdf.py` prints.

Pages keep the order and the depth of the table of contents, and so do their headings. Every anchor
carries the name of its page, since many pages have a "summary". Solutions stand in an appendix,
linked both ways. The table of contents and the index are lists of links whose page numbers the
printing adds.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.singlehtml import SingleFileHTMLBuilder
from sphinx.environment.adapters.indexentries import IndexEntries
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

PAGE = "#document-"  # what Sphinx's links to pages of the one-page build begin with
SOLUTIONS = "solutions"
PAPER_PAGE = "index"
CONTENTS_DEPTH = 3

# Style sheets and scripts that are of no use on paper, by a part of their names.
NOT_ON_PAPER = ("togglebutton", "copybutton", "thebe", "fonts.css", "characters.css", "tabs.js")


def anchor(docname: str, name: str) -> str:
    """The name that an anchor of a page has in the one-page build."""
    return f"{docname.replace('/', '.')}.{name}"


def unique(uri: str, starts: dict[str, str]) -> str:
    """A link as Sphinx writes it before it drops the page's name, to an anchor that is unique."""
    docname, _, name = uri.removeprefix(PAGE).partition("#")
    return f"#{anchor(docname, name)}" if name else f"#{starts[docname]}"


def make_unique(node: nodes.Node, docname: str, starts: dict[str, str]) -> None:
    """Give each anchor below a node, and each link to one, the name of its page."""
    if isinstance(node, addnodes.start_of_file):
        docname = node["docname"]
    if isinstance(node, nodes.Element):
        for names in ("ids", "backrefs"):
            node[names] = [anchor(docname, name) for name in node.get(names, [])]
        if "refid" in node:
            node["refid"] = anchor(docname, node["refid"])
        if node.get("refuri", "").startswith(PAGE):
            node["refuri"] = unique(node["refuri"], starts)
    for child in node.children:
        make_unique(child, docname, starts)


def link(target: str, *content: nodes.Node, kind: str = "page-of") -> nodes.reference:
    """A link to an anchor, by its class one that is printed with the number of a page."""
    return nodes.reference("", "", *content, internal=True, refuri=target, classes=[kind])


class PrintableBuilder(SingleFileHTMLBuilder):
    """Puts the whole book on one page for paper."""

    def init(self) -> None:
        """Start as Sphinx does, but without links that are of no use on paper."""
        super().init()
        self.config.html_permalinks = False  # from a heading to itself
        self.config.html_scaled_image_link = False  # from a picture to its file

    def assemble_doctree(self) -> nodes.document:
        """The book in one tree, with contents, solutions and index."""
        tree = super().assemble_doctree()
        for page in _pages(tree):
            for child in page.children:
                child.parent = page  # Sphinx leaves them with the document that they come from
        cover = next(tree.findall(nodes.section))
        self._lift_pages(tree, cover)
        tree.insert(tree.index(cover), self._contents())
        tree += self._solutions(tree)
        index = next(page for page in _pages(tree) if page["docname"] == "genindex")
        next(index.findall(nodes.section)).extend(self._index())
        # The index is what one opens at the end.
        tree.remove(index)
        tree += index
        for page in [tree, *_pages(tree)]:
            next(page.findall(nodes.section))["classes"].append("page-start")
        return tree

    def fix_refuris(self, tree: nodes.Node) -> None:
        """Make links and anchors unique, where Sphinx drops the names of pages.

        The link to a page leads to its heading: Sphinx's own anchor stands before the page break.
        """
        if not isinstance(tree, nodes.document):
            return  # a menu, which paper does not have
        self.starts = {
            page["docname"]: anchor(page["docname"], next(page.findall(nodes.section))["ids"][0])
            for page in [tree, *_pages(tree)]
        }
        make_unique(tree, self.config.root_doc, self.starts)

    def assemble_toc_secnumbers(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Section numbers by the anchors that `make_unique` gave."""
        numbers = {
            f"{docname}/{'#' + anchor(docname, name[1:]) if name else ''}": number
            for docname, found in self.env.toc_secnumbers.items()
            for name, number in found.items()
        }
        return {self.config.root_doc: numbers}

    def assemble_toc_fignumbers(self) -> dict[str, dict[str, dict[str, tuple[int, ...]]]]:
        """Numbers of figures and exercises by the anchors that `make_unique` gave."""
        numbers = {
            f"{docname}/{kind}": {anchor(docname, name): number for name, number in found.items()}
            for docname, kinds in self.env.toc_fignumbers.items()
            for kind, found in kinds.items()
        }
        return {self.config.root_doc: numbers}

    def get_doc_context(self, docname: str, body: str, metatags: str) -> dict[str, Any]:
        """What the template is given: paper has no navigation."""
        return {
            "title": self.config.html_title,
            "body": body,
            "meta": None,
            "metatags": metatags,
            "parents": [],
            "rellinks": [],
            "toc": "",
            "display_toc": False,
            "sourcename": "",
        }

    def get_outfilename(self, pagename: str) -> str:
        """The page stands at the top, where Sphinx's links to pictures and styles expect it."""
        return str(Path(self.outdir) / f"{PAPER_PAGE}{self.out_suffix}")

    def _lift_pages(self, tree: nodes.document, cover: nodes.section) -> None:
        """Take the chapters out of the cover, so that their headings are of the first order."""
        pages = [page for page in _pages(cover) if _page_above(page) is None]
        for page in pages:
            page.parent.remove(page)
        tree += pages

    def _contents(self) -> nodes.section:
        toctrees = list(self.env.get_doctree(self.config.root_doc).findall(addnodes.toctree))
        section = nodes.section("", nodes.title("", "Contents"), ids=["contents"])
        section["classes"] += ["page-start", "contents"]
        for toctree in toctrees:
            if caption := toctree.get("caption"):
                section += nodes.paragraph("", caption, classes=["part"])
            pages = [name for name in map(str, toctree["includefiles"]) if name != "genindex"]
            section += self._contents_of(pages, 1)
        last = nodes.bullet_list(classes=["contents-list"])
        last += _entry(f"#{SOLUTIONS}", nodes.Text("Solutions to the exercises"))
        if "genindex" in self.env.found_docs:
            last += _entry(f"#{self.starts['genindex']}", nodes.Text("Index"))
        section += last
        return section

    def _contents_of(self, docnames: list[str], depth: int) -> nodes.bullet_list:
        entries = nodes.bullet_list(classes=["contents-list", f"depth-{depth}"])
        for docname in docnames:
            entry = _entry(f"#{self.starts[docname]}", *self._heading(docname))
            below = self.env.toctree_includes.get(docname, [])
            if below and depth < CONTENTS_DEPTH:
                entry += self._contents_of(below, depth + 1)
            entries += entry
        return entries

    def _heading(self, docname: str) -> list[nodes.Node]:
        """Number and title of a page."""
        number = section_number(self.env.titles[docname])
        title = [child.deepcopy() for child in self.env.titles[docname].children]
        return [nodes.Text(f"{number}. "), *title] if number else title

    def _solutions(self, tree: nodes.document) -> nodes.section:
        """Take the solutions out of their pages into an appendix, and link them with exercises."""
        exercises = {node["label"]: node for node in tree.findall(is_exercise_node)}
        appendix = nodes.section("", nodes.title("", "Solutions to the exercises"))
        appendix["ids"] = [SOLUTIONS]
        appendix["classes"].append("page-start")
        for page in [tree, *_pages(tree)]:
            docname = page["docname"]
            found = [
                node
                for node in page.findall(is_solution_node)
                if (_page_above(node) or tree) is page
            ]
            if not found:
                continue
            section = nodes.section("", nodes.title("", "", *self._heading(docname)))
            section["ids"] = [anchor(SOLUTIONS, docname)]
            for solution in found:
                solution.parent.remove(solution)
                solution["classes"] = [c for c in solution["classes"] if c != "dropdown"]
                section += solution
                note = nodes.paragraph("", "", classes=["solution-reference"])
                note += link(f"#{solution['ids'][0]}", nodes.Text("Solution"))
                exercises[solution["target_label"]] += note
            appendix += section
        return appendix

    def _index(self) -> Iterator[nodes.Node]:
        """The index: terms with the links whose page numbers the printing adds."""
        for letter, terms in IndexEntries(self.env).create_index(self):
            yield nodes.paragraph("", letter, classes=["index-letter"])
            entries = nodes.bullet_list(classes=["index-entries"])
            for term, (links, below, _) in terms:
                # On the screen a term's pages stand below it by title, on paper by number.
                everywhere = [*links, *(found for _, founds, *_ in below for found in founds)]
                entries += self._index_entry(term, everywhere)
            yield entries

    def _index_entry(self, term: str, uris: list[tuple[str, str | bool]]) -> nodes.list_item:
        paragraph = nodes.paragraph("", term)
        for _, uri in uris:
            paragraph += nodes.Text(" ")
            paragraph += link(unique(str(uri), self.starts), nodes.Text(""), kind="page-only")
        return nodes.list_item("", paragraph)


def section_number(title: nodes.title) -> str:
    """The number that document_numbers.py gave to a page's title, empty where it has none."""
    return ".".join(map(str, title.get("secnumber", ())))


def _pages(tree: nodes.Node) -> list[addnodes.start_of_file]:
    return list(tree.findall(addnodes.start_of_file))


def _page_above(node: nodes.Node) -> addnodes.start_of_file | None:
    above = node.parent
    while above is not None and not isinstance(above, addnodes.start_of_file):
        above = above.parent
    return above


def _entry(target: str, *content: nodes.Node) -> nodes.list_item:
    return nodes.list_item("", nodes.paragraph("", "", link(target, *content)))


def paper_context(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> str | None:
    """Give the one-page build a template of its own, without what moves."""
    if app.builder.name != PrintableBuilder.name:
        return None
    context["css_files"] = [
        file
        for file in context["css_files"]
        if not any(part in str(getattr(file, "filename", file)) for part in NOT_ON_PAPER)
    ]
    context["script_files"] = [
        file
        for file in context["script_files"]
        if "mathjax" in f"{file} {getattr(file, 'attributes', '')}".lower()
    ]
    context["printed_on"] = f"{date.today():%B} {date.today().day}, {date.today().year}"
    context["running_heads"] = [
        {
            "page": "page-" + docname.replace("/", "-"),
            "section": start,
            "number": section_number(app.env.titles[docname]),
            "title": app.env.titles[docname].astext(),
        }
        for docname, start in app.builder.starts.items()
        if docname != app.config.root_doc
    ]
    return "printed.html"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the builder in the place of Sphinx's own, and the template's context."""
    app.add_builder(PrintableBuilder, override=True)
    app.connect("html-page-context", paper_context, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
