"""Tables, ratios and charts of what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

GOALS = (0.90, 0.95, 0.99)
FILTERED_GOAL = 0.95
OURS = "vectordb"
EXACT = "exact scan"


def envelope(sweep: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of pairs of recall and speed those that no other one beats in both, by recall."""
    best: list[tuple[float, float]] = []
    for recall, qps in sorted(sweep, key=lambda pair: (-pair[0], -pair[1])):
        if not best or qps > best[-1][1]:
            best.append((recall, qps))
    return best[::-1]


def points(result: dict, net: bool = False) -> list[tuple[float, float]]:
    """Recall and speed of each effort; `net` without what a call costs that has nothing to search."""
    overhead = (result.get("call_overhead_us") or 0.0) * 1e-6 if net else 0.0
    # A search never costs less than a tenth of what was measured: the overhead is an estimate.
    return [(at["recall"], 1 / max(1 / at["qps"] - overhead, 0.1 / at["qps"])) for at in result["sweep"]]


def at_recall(sweep: list[tuple[float, float]], goal: float) -> float | None:
    """The most queries per second at a recall; between points the logarithm of speed is a straight line over recall."""
    best = envelope(sweep)
    reached = [qps for recall, qps in best if recall >= goal]
    for (low, fast), (high, slow) in zip(best, best[1:]):
        if low < goal <= high:
            share = (goal - low) / (high - low)
            reached.append(math.exp(math.log(fast) * (1 - share) + math.log(slow) * share))
    return max(reached, default=None)


def number(value: float | None, digits: int = 0) -> str:
    """A number for a table."""
    return "-" if value is None else f"{value:,.{digits}f}"


def best_of(results: list[dict], value: Callable[[dict], float | None]) -> tuple[str, float] | None:
    """The peer with the largest value."""
    values = [(result["peer"], value(result)) for result in results if result["peer"] not in (OURS, EXACT)]
    return max(((peer, found) for peer, found in values if found is not None), key=lambda pair: pair[1], default=None)


def with_speeds(result: dict) -> dict:
    """A result and its speeds at the recalls that count."""
    if "error" in result:
        return result
    speeds = {f"qps_at_{goal * 100:03.0f}": at_recall(points(result), goal) for goal in GOALS}
    return {**result, **speeds}


def tables(name: str, results: list[dict]) -> str:
    """Everything about one set, as Markdown."""
    columns = ["0.90", "0.95", "0.99", "call us", "build CPU s", "build s", "RSS MB", "peak MB", "disk MB", "durable points/s"]
    lines = [f"## {name}", "", "| engine | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for result in results:
        if "error" in result:
            lines.append(f"| {result['peer']} | {result['error'][:80]} |" + " |" * (len(columns) - 1))
            continue
        speeds = [number(at_recall(points(result), goal)) for goal in GOALS]
        keys = (("call_overhead_us", 1), ("build_cpu_s", 1), ("build_s", 1), ("rss_mb", 0), ("peak_rss_mb", 0), ("disk_mb", 0), ("points_per_s", 0))
        lines.append(f"| {result['peer']} | " + " | ".join(speeds + [number(result.get(key), digits) for key, digits in keys]) + " |")
    measured = [result for result in results if "error" not in result]
    return "\n".join(lines + [""] + ratios(measured) + [""] + filtered(measured)) + "\n"


def ratios(results: list[dict]) -> list[str]:
    """How we compare with the best of the peers; the second number leaves the peers' cost of a call out, but not ours."""
    ours = next((result for result in results if result["peer"] == OURS), None)
    if ours is None:
        return []
    lines = []
    for goal in GOALS:
        mine = at_recall(points(ours), goal)
        best, net = (best_of(results, lambda result: at_recall(points(result, without), goal)) for without in (False, True))
        if best and net and mine:
            lines.append(f"- recall {goal:.2f}: {mine / best[1]:.2f} times {best[0]}; without the cost of a call {mine / net[1]:.2f} times {net[0]}")
    cheapest = best_of([result for result in results if result["graph"]], lambda result: -result["build_cpu_s"])
    if cheapest:
        lines.append(f"- build CPU: {ours['build_cpu_s'] / -cheapest[1]:.2f} times {cheapest[0]}")
    durable = best_of([result for result in results if result["durable"]], lambda result: result["points_per_s"])
    if durable:
        lines.append(f"- durable ingest: {ours['points_per_s'] / durable[1]:.2f} times {durable[0]}")
    smallest = best_of([result for result in results if result["durable"]], lambda result: -result["rss_mb"])
    if smallest:
        lines.append(f"- resident memory: {ours['rss_mb'] / -smallest[1]:.2f} times {smallest[0]} (of those that are durable)")
    return lines


def cells(results: list[dict]) -> list[tuple[str, float]]:
    """Kinds and selectivities of filters that somebody answered."""
    return list(dict.fromkeys((cell["kind"], cell["selectivity"]) for result in results for cell in result.get("filtered", [])))


def cell_of(result: dict, kind: str, selectivity: float) -> dict | None:
    """What one engine did with one filter."""
    same = (cell for cell in result.get("filtered", []) if (cell["kind"], cell["selectivity"]) == (kind, selectivity))
    return next(same, None)


def reached(result: dict, kind: str, selectivity: float) -> float | None:
    """Speed of an engine with a filter if it finds enough."""
    cell = cell_of(result, kind, selectivity)
    return cell["qps"] if cell and cell["recall"] >= FILTERED_GOAL else None


def filtered(results: list[dict]) -> list[str]:
    """Filtered searches: every engine, then ours against the best peer and the exact scan."""
    names = cells(results)
    if not names:
        return []
    lines = ["| filtered queries/s (recall if below 0.95) | " + " | ".join(f"{kind} {share:.1%}" for kind, share in names) + " |"]
    lines.append("|---|" + "--:|" * len(names))
    for result in results:
        if result.get("filtered"):
            shown = [show_cell(cell_of(result, *name)) for name in names]
            lines.append(f"| {result['peer']} | " + " | ".join(shown) + " |")
    ours = next((result for result in results if result["peer"] == OURS), None)
    scan = next((result for result in results if result["peer"] == EXACT), {})
    lines += ["", "| filter | ours | best peer | its queries/s | ratio | exact scan | ratio |", "|---|--:|---|--:|--:|--:|--:|"]
    for name in names:
        best, exact = best_of(results, lambda result: reached(result, *name)), reached(scan, *name)
        mine = reached(ours, *name) if ours else None
        ratio = lambda other: number(mine / other if mine and other else None, 2)
        peer, speed = best or ("none", None)
        lines.append(
            f"| {name[0]} {name[1]:.1%} | {number(mine)} | {peer} | {number(speed)} | {ratio(speed)} | {number(exact)} | {ratio(exact)} |"
        )
    return lines


def show_cell(cell: dict | None) -> str:
    """Speed, and recall where that is too low."""
    if cell is None:
        return "-"
    return number(cell["qps"]) if cell["recall"] >= FILTERED_GOAL else f"{number(cell['qps'])} ({cell['recall']:.2f})"
