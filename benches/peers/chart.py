"""A chart of recall against speed as SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from report import EXACT, OURS, envelope, points

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 74, 196, 44, 56
FIRST_RECALL = 0.8
TICKS = (0.8, 0.85, 0.9, 0.95, 1.0)
# Colours of middling brightness read on light and on dark ground; one for each library, dashes for its variants.
COLOURS = {
    OURS: "#e5484d",
    "zvec": "#3b82d6",
    "hnswlib": "#9a6ad1",
    "faiss": "#2f9e5f",
    "usearch": "#c08a12",
    "qdrant-edge": "#d0609a",
    "lancedb": "#1f9fb0",
}
OTHER = "#8a8f98"
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2")
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #3a3f47; }
.title { font-size: 15px; font-weight: 600; }
.grid { stroke: #8a8f98; stroke-opacity: 0.28; }
.minor { stroke-opacity: 0.12; }
@media (prefers-color-scheme: dark) { text { fill: #c9ced6; } }
</style>"""


def chart(name: str, results: list[dict]) -> str:
    """One set: a line for each engine, ours the thickest and on top."""
    lines = {result["peer"]: envelope(points(result)) for result in results if "error" not in result and result["peer"] != EXACT}
    lines = {peer: visible(line) for peer, line in lines.items() if visible(line)}
    speeds = [qps for line in lines.values() for _, qps in line]
    if not speeds:
        return ""
    low, high = min(speeds) / 1.15, max(speeds) * 1.15
    x = lambda recall: LEFT + (recall - FIRST_RECALL) / (1 - FIRST_RECALL) * (WIDTH - LEFT - RIGHT)
    y = lambda qps: HEIGHT - BOTTOM - math.log(qps / low) / math.log(high / low) * (HEIGHT - TOP - BOTTOM)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', STYLE]
    parts.append(f'<text class="title" x="{LEFT}" y="24">{escape(name)}: queries per CPU second, one thread, k = 10</text>')
    parts += axes(low, high, x, y)
    styles = styles_of(list(lines))
    for peer in sorted(lines, key=lambda peer: peer == OURS):
        parts += curve(lines[peer], styles[peer], peer == OURS, x, y)
    # The legend has the order of the lines' right halves: fastest at recall 0.95 first.
    order = sorted(lines, key=lambda peer: -max((qps for recall, qps in lines[peer] if recall >= 0.95), default=0))
    for place, peer in enumerate(order):
        parts += legend(peer, styles[peer], TOP + 10 + 20 * place)
    return "\n".join(parts + ["</svg>"]) + "\n"


def visible(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The part of a line that is on the chart; where it comes from the left it starts at the edge."""
    inside = [point for point in line if point[0] >= FIRST_RECALL]
    before = [point for point in line if point[0] < FIRST_RECALL]
    if before and inside:
        (low, fast), (high, slow) = before[-1], inside[0]
        share = (FIRST_RECALL - low) / (high - low)
        inside.insert(0, (FIRST_RECALL, math.exp(math.log(fast) * (1 - share) + math.log(slow) * share)))
    return inside


def styles_of(peers: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each line."""
    styles, used = {}, dict.fromkeys([*COLOURS, ""], 0)
    for peer in peers:
        family = next((family for family in COLOURS if peer.startswith(family)), "")
        styles[peer] = (COLOURS.get(family, OTHER), DASHES[used[family] % len(DASHES)])
        used[family] += 1
    return styles


def axes(low: float, high: float, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    """Grid, ticks and titles of both axes."""
    parts = []
    for tick in TICKS:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:.2f}</text>')
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high))):
        for step in range(1, 10):
            tick = step * 10**power
            if low <= tick <= high:
                kind = "grid" if step in (1, 2, 5) else "grid minor"
                parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
                if step in (1, 2, 5):
                    parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">recall@10</text>')
    parts.append(f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">queries per CPU second</text>')
    return parts


def curve(line: list[tuple[float, float]], style: tuple[str, str], ours: bool, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    """One engine."""
    (colour, dash), width = style, 3.2 if ours else 1.6
    path = " ".join(f"{x(recall):.1f},{y(qps):.1f}" for recall, qps in line)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash or "none"}"/>']
    return parts + [f'<circle cx="{x(recall):.1f}" cy="{y(qps):.1f}" r="{3.4 if ours else 2.2}" fill="{colour}"/>' for recall, qps in line]


def legend(peer: str, style: tuple[str, str], top: int) -> list[str]:
    """A line of the legend."""
    (colour, dash), left = style, WIDTH - RIGHT + 16
    width, weight = (3.2, ' font-weight="700"') if peer == OURS else (1.6, "")
    stroke = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash or "none"}"'
    return [
        f'<line x1="{left}" x2="{left + 26}" y1="{top - 4}" y2="{top - 4}" {stroke}/>',
        f'<text x="{left + 33}" y="{top}"{weight}>{escape(peer)}</text>',
    ]
