"""Envoy's own failures in the caller's dialect: mappers of its local replies, made from `local-replies.yaml`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from extproc.dialects import error_body
from extproc.envoy_data import load
from extproc.exchange import Dialect


def local_replies() -> list[Any]:
    """The mappers that put Envoy's own failures into the caller's dialect: every cause in every dialect."""
    table = load("local-replies.yaml")
    return [_mapper(cause, entry) for cause in table["causes"] for entry in table["dialects"]]


def _mapper(cause: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    dialect = Dialect(entry["dialect"])
    name = "" if cause.get("unnamed") else "%REQ(X-REQUEST-ID)%"
    body = error_body(dialect, cause["answer"], cause["code"], cause["message"], request_id=name)
    mapper: dict[str, Any] = {
        "filter": _all([*_cause_filters(cause), *_dialect_filters(entry)]),
        "status_code": cause["answer"],
        "body_format_override": {
            "text_format_source": {"inline_string": json.dumps(body, separators=(",", ":"))},
            "content_type": "application/json",
        },
    }
    headers = {"x-request-id": name} if name else {}
    if "retry_after" in cause:
        headers |= {"retry-after": str(cause["retry_after"]), "retry-after-ms": str(cause["retry_after"] * 1000)}
    mapper["headers_to_add"] = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]
    return mapper


def _cause_filters(cause: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    match cause.get("verdict"):
        case "allow":
            yield _verdict_filter({"exact": "allow"}, missing=False)
        case "none":
            # Matches only where the key is missing: no verdict is called this.
            yield _verdict_filter({"exact": "none"}, missing=True)
        case "any":
            pass
        case _:
            yield _verdict_filter({"exact": "allow"}, missing=True)
    for name, operator in (("status", "EQ"), ("most", "LE")):
        if name in cause:
            value = {"default_value": cause[name], "runtime_key": "sluicegate.unused"}
            yield {"status_code_filter": {"comparison": {"op": operator, "value": value}}}
    if "flags" in cause:
        yield {"response_flag_filter": {"flags": cause["flags"]}}
    if "details" in cause:
        yield {
            "extension_filter": {
                "name": "cel",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": " || ".join(f"response.code_details.startsWith('{one}')" for one in cause["details"]),
                },
            }
        }


def _verdict_filter(match: Mapping[str, str], *, missing: bool) -> dict[str, Any]:
    matcher = {"filter": "sluicegate", "path": [{"key": "verdict"}], "value": {"string_match": dict(match)}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": missing}}


def _dialect_filters(entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The dialect that has no prefixes takes what is left, also requests so broken that they have no path."""
    if "header" in entry:
        yield {"header_filter": {"header": {"name": entry["header"], "present_match": True}}}
    matches = [{"name": ":path", "string_match": {"prefix": prefix}} for prefix in entry["prefixes"]]
    if matches:
        filters = [{"header_filter": {"header": match}} for match in matches]
        yield filters[0] if len(filters) == 1 else {"or_filter": {"filters": filters}}


def _all(filters: list[dict[str, Any]]) -> dict[str, Any]:
    return filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
