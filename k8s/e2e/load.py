"""Clients of a service: what they wrote and were told that it is kept must be there."""

import hashlib
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request

COLLECTION = "/collections/documents"
# What may become of a request: no answer, half of one, or one that is no success.
FAILURES = (OSError, http.client.HTTPException, ValueError)


def call(address, method, path, body=None, timeout=15):
    request = urllib.request.Request(
        f"http://{address}:6333{path}",
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)["result"]


def told(error):
    """When what was said."""
    answer = error.read()[:200] if isinstance(error, urllib.error.HTTPError) else ""
    return f"{time.strftime('%X')} {error} {answer}"


class Load:
    """Writers and readers that go wherever the service leads, as it is known a moment ago."""

    def __init__(self, addresses):
        self.known = addresses()
        self.find = addresses
        self.kept = {}
        self.doubtful = set()
        self.reads = self.writes = 0
        self.failed_reads = []
        self.failed_writes = []
        self.serial = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = []

    def __enter__(self):
        works = [self.look, *[lambda number=number: self.write(number) for number in range(2)], self.read, self.read]
        self.threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def look(self):
        """A proxy hears of changes a moment later."""
        while not self.stopping.wait(0.3):
            try:
                self.known = self.find() or self.known
            except Exception:  # noqa: BLE001 - the API is asked again in a moment
                continue

    def write(self, number):
        dice = random.Random(number)
        while not self.stopping.is_set():
            keys = sorted({number * 1_000_000 + dice.randrange(5_000) for _ in range(4)})
            with self.lock:
                serials = list(range(self.serial, self.serial + len(keys)))
                self.serial += len(keys)
            points = [{"id": key, "vector": [key % 97, s % 89, 1, 2], "payload": {"s": s}} for key, s in zip(keys, serials, strict=True)]
            try:
                call(random.choice(self.known), "PUT", f"{COLLECTION}/points?wait=true", {"points": points})
            except FAILURES as error:
                self.failed_writes.append(told(error))
                # It may be there or not.
                self.doubtful.update(keys)
                continue
            self.writes += 1
            self.kept.update(zip(keys, serials, strict=True))
            self.doubtful.difference_update(keys)

    def read(self):
        while not self.stopping.is_set():
            address = random.choice(self.known)
            try:
                body = {"query": [random.random() * 90, random.random() * 90, 1, 2], "limit": 5, "with_payload": True}
                call(address, "POST", f"{COLLECTION}/points/query", body)
                self.reads += 1
            except FAILURES as error:
                self.failed_reads.append(f"{address} {told(error)}")
            time.sleep(0.005)


def contents(address, collection=COLLECTION):
    """Serials by key."""
    found, offset = {}, None
    while True:
        page = call(address, "POST", f"{collection}/points/scroll", {"limit": 2000, "offset": offset, "with_payload": True, "with_vector": True})
        found.update({point["id"]: (point["payload"]["s"], tuple(point["vector"])) for point in page["points"]})
        offset = page["next_page_offset"]
        if offset is None:
            return found


def digest(address, collection=COLLECTION):
    """Of all points with their vectors and payloads."""
    return hashlib.sha256(json.dumps(sorted(contents(address, collection).items())).encode()).hexdigest()


def check(load, addresses):
    """Nothing that was acknowledged is lost, on whichever node one looks."""
    first = contents(addresses[0])
    for address in addresses[1:]:
        assert contents(address) == first, f"{address} says something else"
    lost = {key: s for key, s in load.kept.items() if key not in load.doubtful and first.get(key, (None,))[0] != s}
    assert not lost, f"{len(lost)} of {len(load.kept)} are lost: {dict(list(lost.items())[:5])}"
    assert load.writes > 20 and load.reads > 100, (load.writes, load.reads)
    print(f"{load.writes} writes, {len(load.failed_writes)} in doubt, {load.reads} reads, {len(load.failed_reads)} failed, {len(first)} points, 0 lost")
    for doubt in load.failed_writes[:5]:
        print(f"    {doubt}")
    return first
