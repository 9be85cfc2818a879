"""Leads most questions of `test_openapi.py` to a collection that is there, so that more than its absence is found."""

from __future__ import annotations

from typing import Any

import schemathesis

# What makes or destroys the collection of its path.
ELSEWHERE = {("PUT", "/collections/{collection_name}"), ("DELETE", "/collections/{collection_name}")}


def is_negative(case: Any, part: str) -> bool:
    """Whether a part of a question is wrong on purpose."""
    components = getattr(case.meta, "components", {}) if case.meta else {}
    return any(str(getattr(name, "value", name)) == part and data.mode.is_negative for name, data in components.items())


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    operation = (case.operation.method.upper(), case.operation.path)
    upload = operation[1].endswith(("/upload", "/recover"))
    if "collection_name" in (case.path_parameters or {}) and operation not in ELSEWHERE and not upload and not is_negative(case, "path"):
        case.path_parameters["collection_name"] = "a"
    # Backups go wherever they are told to: here to where the settings say, beside the snapshots.
    if operation[1].startswith("/backups"):
        for parts in (case.body, case.query):
            if isinstance(parts, dict) and isinstance(parts.get("location"), str):
                del parts["location"]
    # A quota that this machine is over already would refuse whatever is asked next.
    if operation == ("PUT", "/quotas") and isinstance(case.body, dict) and case.body.get("enabled") is True:
        case.body["enabled"] = False
    # A thousand shards are allowed, and take their time.
    if operation in ELSEWHERE and isinstance(case.body, dict) and not is_negative(case, "body") and case.body.get("shard_number"):
        case.body["shard_number"] = min(case.body["shard_number"], 4)
    params = case.body.get("params") if isinstance(case.body, dict) and not is_negative(case, "body") else None
    if isinstance(params, dict) and params.get("shard_number"):
        params["shard_number"] = min(params["shard_number"], 4)
