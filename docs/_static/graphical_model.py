"""Draw the graphical model of the contrastive VAE: `python docs/_static/graphical_model.py`."""

from pathlib import Path

RADIUS = 26
INK, PAPER, SHADE, SALIENT, BACKGROUND = "#222222", "#ffffff", "#dddddd", "#d1495b", "#2e6f95"


def node(x: int, y: int, label: str, *, fill: str = PAPER, stroke: str = INK) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="{fill}" stroke="{stroke}" '
        f'stroke-width="2.5"/><text x="{x}" y="{y + 6}">{label}</text>'
    )


def arrow(x0: int, y0: int, x1: int, y1: int) -> str:
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    start, end = RADIUS + 2, RADIUS + 9
    return (
        f'<line x1="{x0 + ux * start:.1f}" y1="{y0 + uy * start:.1f}" '
        f'x2="{x1 - ux * end:.1f}" y2="{y1 - uy * end:.1f}" marker-end="url(#head)"/>'
    )


def plate(x: int, title: str, count: str) -> str:
    return (
        f'<rect x="{x}" y="52" width="220" height="236" rx="14" fill="none"/>'
        f'<text class="title" x="{x + 110}" y="36">{title}</text>'
        f'<text class="count" x="{x + 206}" y="276">{count}</text>'
    )


def sub(name: str, index: str) -> str:
    return f'{name}<tspan dy="5" font-size="12">{index}</tspan>'


def draw() -> str:
    parts = [
        plate(20, "target cells", "i = 1 … n"),
        plate(380, "background cells", "j = 1 … m"),
        node(80, 110, sub("s", "i"), stroke=SALIENT),
        node(180, 110, sub("z", "i"), stroke=BACKGROUND),
        node(130, 220, sub("x", "i"), fill=SHADE),
        '<text x="440" y="116">0</text>',
        node(540, 110, sub("z", "j"), stroke=BACKGROUND),
        node(490, 220, sub("b", "j"), fill=SHADE),
        '<text x="310" y="226">θ</text>',
        arrow(80, 110, 130, 220),
        arrow(180, 110, 130, 220),
        arrow(440, 110, 490, 220),
        arrow(540, 110, 490, 220),
        arrow(310, 220, 130, 220),
        arrow(310, 220, 490, 220),
    ]
    style = (
        "text{font:italic 19px Georgia,serif;text-anchor:middle;fill:#222}"
        ".title{font:600 16px sans-serif}.count{font-size:14px;text-anchor:end}"
        f"line{{stroke:{INK};stroke-width:1.8}}rect{{stroke:{INK};stroke-width:1.4}}"
    )
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="6" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="{INK}"/></marker></defs>'
    )
    paper = f'<rect width="620" height="304" fill="{PAPER}" style="stroke:none"/>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 304" width="620" role="img">'
        "<title>Graphical model of the contrastive VAE</title>"
        f"<style>{style}</style>{head}{paper}{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
