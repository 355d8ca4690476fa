"""``Returns`` sections as prose: what is returned is told, its type stands in the signature.

Napoleon takes the first line of the section for a type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon.docstring import NumpyDocstring

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def parse_returns(docstring: NumpyDocstring, _section: str) -> list[str]:
    lines = docstring._dedent(docstring._consume_to_next_section())
    return docstring._format_block(":returns: ", lines)


def setup(_app: Sphinx) -> dict[str, Any]:
    NumpyDocstring._parse_returns_section = parse_returns
    return {"parallel_read_safe": True, "parallel_write_safe": True}
