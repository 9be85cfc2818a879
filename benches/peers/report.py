"""Tables, ratios and a chart of what was measured."""

from __future__ import annotations

import math
from html import escape

GOALS = (0.90, 0.95, 0.99)
OURS = "vectordb"
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 168, 36, 44
COLOURS = ("#d1495b", "#2e86ab", "#3c9d5d", "#8e6bbf", "#c98a1b", "#5f7a8a", "#b0588d", "#4f9da6", "#7d8c2c", "#a0614a", "#6c6cc4", "#888888")
FIRST_RECALL = 0.8


def at_recall(sweep: list[dict], goal: float) -> float | None:
    """The most queries per second at a recall; between measured points in a straight line of recall and the logarithm of speed."""
    reached = [point["qps"] for point in sweep if point["recall"] >= goal]
    points = sorted(sweep, key=lambda point: point["recall"])
    for before, after in zip(points, points[1:]):
        if before["recall"] < goal <= after["recall"]:
            share = (goal - before["recall"]) / (after["recall"] - before["recall"])
            logs = math.log(before["qps"]) * (1 - share) + math.log(after["qps"]) * share
            reached.append(math.exp(logs))
    return max(reached, default=None)


def number(value: float | None, digits: int = 0) -> str:
    """A number for a table."""
    return "-" if value is None else f"{value:,.{digits}f}"


def best_of(results: list[dict], value) -> tuple[str, float] | None:
    """The peer with the largest value."""
    values = [(result["peer"], value(result)) for result in results if result["peer"] != OURS]
    values = [(peer, found) for peer, found in values if found is not None]
    return max(values, key=lambda pair: pair[1], default=None)


def tables(name: str, results: list[dict]) -> str:
    """Everything about one set, as Markdown."""
    lines = [f"## {name}", "", "| engine | 0.90 | 0.95 | 0.99 | build CPU s | RSS MB | disk MB | points/s |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for result in results:
        if "error" in result:
            lines.append(f"| {result['peer']} | {result['error'][:80]} |")
            continue
        speeds = [number(at_recall(result["sweep"], goal)) for goal in GOALS]
        rest = [number(result[key], digits) for key, digits in (("build_cpu_s", 1), ("rss_mb", 0), ("disk_mb", 0), ("points_per_s", 0))]
        lines.append(f"| {result['peer']} | " + " | ".join(speeds + rest) + " |")
    measured = [result for result in results if "error" not in result]
    return "\n".join(lines + [""] + ratios(measured) + [""] + filtered(measured)) + "\n"


def ratios(results: list[dict]) -> list[str]:
    """How we compare with the best of the peers."""
    ours = next((result for result in results if result["peer"] == OURS), None)
    if ours is None:
        return []
    lines = []
    for goal in GOALS:
        best, mine = best_of(results, lambda result: at_recall(result["sweep"], goal)), at_recall(ours["sweep"], goal)
        if best and mine:
            lines.append(f"- recall {goal:.2f}: {mine / best[1]:.2f} times {best[0]}")
    graphs = [result for result in results if result["graph"]]
    cheapest = best_of(graphs, lambda result: -result["build_cpu_s"])
    if cheapest:
        lines.append(f"- build CPU: {ours['build_cpu_s'] / -cheapest[1]:.2f} times {cheapest[0]}")
    durable = best_of([result for result in results if result["durable"]], lambda result: result["points_per_s"])
    if durable:
        lines.append(f"- durable ingest: {ours['points_per_s'] / durable[1]:.2f} times {durable[0]}")
    return lines


def filtered(results: list[dict]) -> list[str]:
    """Filtered searches: ours against the best peer that finds 0.95."""
    ours = next((result for result in results if result["peer"] == OURS), None)
    if ours is None or not ours["filtered"]:
        return []
    lines = ["| filter | share | recall | queries/s | best peer of recall 0.95 | its queries/s | ratio |", "|---|--:|--:|--:|---|--:|--:|"]
    for mine in ours["filtered"]:
        same = lambda cell: (cell["kind"], cell["selectivity"]) == (mine["kind"], mine["selectivity"]) and cell["recall"] >= 0.95
        best = best_of(results, lambda result: next((cell["qps"] for cell in result["filtered"] if same(cell)), None))
        peer = f"{best[0]} | {number(best[1])} | {mine['qps'] / best[1]:.2f}" if best else "none | - | -"
        lines.append(f"| {mine['kind']} | {mine['selectivity']:.1%} | {mine['recall']:.3f} | {number(mine['qps'])} | {peer} |")
    return lines


def chart(name: str, results: list[dict]) -> str:
    """Recall against queries per second of processor time, as SVG that reads on light and dark ground."""
    measured = [result for result in results if "error" not in result and result["sweep"]]
    points = [point for result in measured for point in result["sweep"] if point["recall"] >= FIRST_RECALL]
    low, high = min(p["qps"] for p in points), max(p["qps"] for p in points)
    low, high = 10 ** math.floor(math.log10(low)), high * 1.2
    x = lambda recall: LEFT + (recall - FIRST_RECALL) / (1 - FIRST_RECALL) * (WIDTH - LEFT - RIGHT)
    y = lambda qps: HEIGHT - BOTTOM - math.log(qps / low) / math.log(high / low) * (HEIGHT - TOP - BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" fill="#777">',
        f'<text x="{LEFT}" y="20" font-size="14" fill="#888">{escape(name)}: queries per CPU second by recall@10, one thread</text>',
    ]
    for tick in (0.8, 0.85, 0.9, 0.95, 1.0):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#8884"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:.2f}</text>')
    tick = low
    while tick <= high:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#8884"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
        tick *= 10
    for place, result in enumerate(sorted(measured, key=lambda result: result["peer"] != OURS)):
        colour, ours = COLOURS[place % len(COLOURS)], result["peer"] == OURS
        line = [(x(p["recall"]), y(p["qps"])) for p in sorted(result["sweep"], key=lambda p: p["recall"]) if p["recall"] >= FIRST_RECALL]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if ours else 1.5}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{3 if ours else 2}" fill="{colour}"/>' for a, b in line]
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 12 + 18 * place}" fill="{colour}">{escape(result["peer"])}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"
