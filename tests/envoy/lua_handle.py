"""Runs `envoy/guard.lua` and `envoy/replies.lua` without Envoy: LuaJIT inside Python, and a handle like Envoy's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "envoy"

# A missing namespace gives no value at all, not nil. `broken`: where Envoy's own functions would raise an error.
_HANDLE: Final = b"""
local source, hook = ...
assert(loadstring(source))()

local function run(headers, metadata, body, broken)
  local done = { headers = headers, body = body }
  local handle = {}
  function handle:headers()
    return {
      get = function(_, key) return headers[key] end,
      remove = function(_, key) headers[key] = nil end,
      replace = function(_, key, value) headers[key] = value end,
    }
  end
  function handle:streamInfo()
    if broken then error("object used outside of proper scope") end
    return { dynamicMetadata = function()
      return { get = function(_, namespace)
        if namespace == "sluicegate" and metadata then return metadata end
        return
      end }
    end }
  end
  function handle:body(always)
    assert(always, "Envoy gives no body to replies that have none")
    return {
      length = function() return #done.body end,
      getBytes = function(_, from, count) return string.sub(done.body, from + 1, from + count) end,
      setBytes = function(_, text) done.body = text end,
    }
  end
  function handle:respond(fields, text) done.headers, done.body, done.responded = fields, text, true end
  _G[hook](handle)
  return done
end
return run
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it. `responded`: the script answered in the upstream's place."""

    headers: dict[str, str]
    body: bytes
    responded: bool


def script(name: str, hook: str) -> Callable[..., Done]:
    """The script's function of this name, as `run(headers, metadata=None, body=b"", broken=False)`."""
    lua = importlib.import_module("lupa.luajit21").LuaRuntime(encoding=None, unpack_returned_tuples=True)
    execute = lua.execute(b"return function(code, ...) return assert(loadstring(code))(...) end")
    run_lua = execute(_HANDLE, (FOLDER / name).read_bytes(), hook.encode())

    def table(values: Mapping[str, Any]) -> Any:
        return lua.table_from(
            {key.encode(): value.encode() if isinstance(value, str) else value for key, value in values.items()}
        )

    def run(
        headers: Mapping[str, str], metadata: Mapping[str, Any] | None = None, body: bytes = b"", broken: bool = False
    ) -> Done:
        done = run_lua(table(headers), table(metadata) if metadata is not None else None, body, broken)
        fields = {bytes(key).decode(): bytes(value).decode() for key, value in done[b"headers"].items()}
        return Done(fields, bytes(done[b"body"]), bool(done[b"responded"]))

    return run
