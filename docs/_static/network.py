"""Draw the network of the contrastive VAE: `python docs/_static/network.py`."""

from pathlib import Path

INK, PAPER, GREY, SALIENT, BACKGROUND = "#222222", "#ffffff", "#eeeeee", "#d1495b", "#2e6f95"


def box(x: int, y: int, text: str, *, width: int = 112, stroke: str = INK, fill: str = GREY) -> str:
    lines = text.splitlines()
    top = y + 5 - 9 * (len(lines) - 1)
    words = "".join(
        f'<text x="{x + width // 2}" y="{top + 18 * i}">{line}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<rect x="{x}" y="{y - 26}" width="{width}" height="52" rx="8" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="2"/>{words}'
    )


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}"{dash} marker-end="url(#tip)"/>'


def note(x: int, y: int, text: str) -> str:
    return f'<text class="note" x="{x}" y="{y}">{text}</text>'


def draw() -> str:
    parts = [
        box(10, 160, "cells\nof both groups"),
        arrow((122, 148), (150, 148), (150, 80), (180, 80)),
        arrow((122, 172), (150, 172), (150, 240), (180, 240)),
        box(188, 80, "salient\nencoder", stroke=SALIENT),
        box(188, 240, "background\nencoder", stroke=BACKGROUND),
        arrow((300, 80), (338, 80)),
        arrow((300, 240), (338, 240)),
        box(346, 80, "s", width=52, stroke=SALIENT, fill=PAPER),
        box(346, 240, "z", width=52, stroke=BACKGROUND, fill=PAPER),
        arrow((398, 80), (556, 80), (556, 126)),
        arrow((398, 240), (556, 240), (556, 194)),
        note(406, 72, "times 0 for background cells"),
        box(500, 160, "decoder"),
        arrow((612, 160), (636, 160)),
        box(644, 160, "likelihood\np(x | s, z)"),
        arrow((372, 106), (372, 126), dashed=True),
        arrow((372, 214), (372, 194), dashed=True),
        box(316, 160, "discriminator"),
        note(386, 44, "background cells: pulled to 0"),
        arrow((372, 54), (372, 36), dashed=True),
        note(386, 284, "alike in both groups: discrepancy (MMD)"),
        arrow((372, 266), (372, 284), dashed=True),
    ]
    style = (
        "text{font:15px sans-serif;text-anchor:middle;fill:#222}"
        ".note{font-size:13px;font-style:italic;text-anchor:start}"
        f"polyline{{fill:none;stroke:{INK};stroke-width:1.6}}"
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="{INK}"/></marker></defs>'
    )
    paper = f'<rect width="770" height="322" fill="{PAPER}"/>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 770 322" width="770" role="img">'
        "<title>Network of the contrastive VAE</title>"
        f"<style>{style}</style>{tip}{paper}{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
