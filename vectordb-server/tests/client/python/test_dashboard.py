"""The dashboard and the page of the API, in headless Chromium: what they show, that they ask nobody else, and how they look.

Pictures of the pages are kept where `VECTORDB_PICTURES` says. The tests need Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from server import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
TOPICS = ("cats", "dogs", "birds")


def fill(url: str, headers: dict[str, str] | None = None) -> None:
    """Three clouds of points, one for each topic."""
    numbers = random.Random(1)
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        vectors = {"size": 16, "distance": "Cosine"}
        client.put("/collections/animals", json={"vectors": vectors, "shard_number": 3}).raise_for_status()
        points = []
        for n in range(600):
            center = [4.0 if at // 5 == n % 3 else 0.0 for at in range(16)]
            vector = [value + numbers.gauss(0, 1) for value in center]
            points.append({"id": n, "vector": vector, "payload": {"topic": TOPICS[n % 3], "n": n, "title": f"About {TOPICS[n % 3]}, part {n}"}})
        client.put("/collections/animals/points?wait=true", json={"points": points}).raise_for_status()
        for field, schema in {"topic": "keyword", "n": "integer", "title": {"type": "text", "scoring": True}}.items():
            client.put("/collections/animals/index?wait=true", json={"field_name": field, "field_schema": schema}).raise_for_status()
        named = {"vectors": {"image": {"size": 4, "distance": "Dot"}, "text": {"size": 2, "distance": "Euclid"}}, "sparse_vectors": {"words": {}}}
        client.put("/collections/named", json=named).raise_for_status()


class Visit:
    """A page, and everything it asked for and complained of."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def picture(self, name: str) -> bytes:
        self.page.wait_for_load_state("networkidle")
        picture = self.page.screenshot(full_page=True)
        if directory := os.environ.get("VECTORDB_PICTURES"):
            pathlib.Path(directory).joinpath(f"{name}.png").write_bytes(picture)
        return picture


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert CHROMIUM, "the dashboard is looked at with Chromium, and there is none"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def base(server: Server) -> str:
    fill(server.url)
    return server.url


@pytest.fixture
def visit(browser: Any, base: str) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    visit = Visit(page, base)
    yield visit
    page.close()
    assert visit.complaints == []
    assert all(url.startswith((base, "data:")) for url in visit.asked), visit.asked


def test_collections_and_their_health_are_shown(visit: Visit) -> None:
    page = visit.go("/dashboard")
    row = page.locator("table.collections tr", has_text="animals")
    expect(row).to_contain_text("green")
    expect(row).to_contain_text("600")
    visit.picture("overview")
    row.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("animals")
    expect(page.locator("main")).to_contain_text("keyword")
    visit.picture("collection")
    page = visit.go("/dashboard/#/named")
    expect(page.locator("main")).to_contain_text("image")
    expect(page.locator("main")).to_contain_text("sparse")


def test_points_are_browsed_by_pages_and_filters(visit: Visit) -> None:
    page = visit.go("/dashboard/#/animals/points")
    expect(page.locator("table.points tbody tr")).to_have_count(20)
    expect(page.locator("table.points tbody tr").first).to_contain_text("About cats, part 0")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("table.points tbody tr").first).to_contain_text("part 20")
    page.get_by_role("button", name="Back").click()
    page.locator("input[name=field]").fill("topic")
    page.locator("input[name=value]").fill("dogs")
    page.get_by_role("button", name="Add condition").click()
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.points tbody tr").first).to_contain_text("About dogs, part 1")
    visit.picture("points")


def test_searches_answer_as_the_server_does(visit: Visit) -> None:
    page = visit.go("/dashboard/#/animals/search?id=7")
    expect(page.locator("table.points tbody tr")).to_have_count(10)
    query = {"query": {"nearest": 7}, "limit": 10, "filter": {"must": [{"key": "n", "range": {"lt": 300}}]}}
    page.locator("input[name=field]").fill("n")
    page.locator("select[name=operator]").select_option("<")
    page.locator("input[name=value]").fill("300")
    page.get_by_role("button", name="Add condition").click()
    page.locator("#run").click()
    asked = httpx.post(f"{visit.base}/collections/animals/points/query", json=query).json()["result"]["points"]
    cells = page.locator("table.points tbody tr td:first-child")
    expect(cells.first).to_have_text(re.compile(rf"^{asked[0]['id']}similar$"))
    expect(cells).to_have_text([re.compile(rf"^{point['id']}similar$") for point in asked])
    visit.picture("search")
    page.locator("select[name=kind]").select_option("text")
    page.locator("input[name=input]").fill("birds")
    page.locator("#run").click()
    expect(page.locator("table.points tbody tr").first).to_contain_text("About birds")
    page.locator("textarea[name=filter]").fill("{")
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("no JSON")


def test_a_sample_is_drawn_in_the_plane(visit: Visit) -> None:
    page = visit.go("/dashboard/#/animals/projection")
    expect(page.locator("canvas")).to_be_visible()
    page.locator("select[name=colour]").select_option("topic")
    expect(page.locator(".legend li")).to_have_count(3)
    drawn = page.evaluate(
        """() => {
            const canvas = document.querySelector('canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 180) colours.add(data.slice(at, at + 3).join());
            return colours.size;
        }"""
    )
    assert drawn >= 3, "a colour for each topic"
    visit.picture("projection")


def test_the_cluster_and_its_shards_are_mapped(visit: Visit) -> None:
    page = visit.go("/dashboard/#/*cluster")
    expect(page.locator(".peer")).to_have_count(1)
    expect(page.locator(".peer li")).to_have_count(4)
    expect(page.locator(".peer")).to_contain_text("Active")
    visit.picture("cluster")


def test_the_api_is_shown(visit: Visit) -> None:
    page = visit.go("/docs")
    page.locator("input[name=words]").fill("points/query")
    expect(page.locator("details.operation")).to_have_count(3)
    page.locator("details.operation summary").first.click()
    visit.picture("docs")


def test_a_key_opens_the_dashboard(browser: Any) -> None:
    with Server(SERVICE__API_KEY="secret") as server:
        fill(server.url, {"api-key": "secret"})
        page = browser.new_page()
        page.goto(f"{server.url}/dashboard")
        expect(page.get_by_role("alert")).to_contain_text("key above is missing")
        page.locator("input[name=key]").fill("secret")
        page.locator("input[name=key]").press("Enter")
        expect(page.locator("table.collections")).to_contain_text("animals")
        page.close()


def test_pages_may_load_nothing_from_elsewhere(base: str) -> None:
    for path in ("/dashboard/", "/docs"):
        answer = httpx.get(base + path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "http" not in policy and "unsafe" not in policy
    assert httpx.get(base + "/dashboard/nothing.js").status_code == 404
