"""Runs `envoy/usage.lua` without Envoy: LuaJIT inside Python, and a handle that behaves as Envoy's does."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

SOURCE: Final = Path(__file__).resolve().parent.parent.parent / "envoy" / "usage.lua"

# As in Envoy: an object got from the handle is dead once the script has waited for the next piece; a missing namespace
# gives no value at all, not nil; the last piece may be empty.
_HANDLE: Final = b"""
local source, name = ...
local before = {}
for key in pairs(_G) do before[key] = true end
assert(loadstring(source, name))()
for key in pairs(_G) do
  assert(before[key] or key == "envoy_on_response" or key == "envoy_on_request", "a global: " .. key)
end

local function run(pieces, metadata, headers)
  local sent, written, order, removed, logged, era = {}, {}, {}, {}, {}, 0
  local handle = {}
  local function scoped(methods)
    local born = era
    return setmetatable({}, {__index = function(_, key)
      assert(born == era, "object used outside of proper scope")
      return methods[key]
    end})
  end
  function handle:headers()
    return scoped({
      get = function(_, key) return headers[key] end,
      remove = function(_, key) removed[#removed + 1] = key end,
    })
  end
  function handle:streamInfo()
    return scoped({dynamicMetadata = function()
      return scoped({
        get = function(_, namespace)
          if namespace == "sluicegate" and metadata then return metadata end
          return
        end,
        set = function(_, namespace, key, value)
          assert(namespace == "sluicegate.usage" and type(key) == "string")
          written[key] = value
          order[#order + 1] = key
        end,
      })
    end})
  end
  function handle:logErr(text) logged[#logged + 1] = text end
  function handle:bodyChunks()
    local i = 0
    return function()
      era = era + 1
      i = i + 1
      if pieces[i] == nil then return nil end
      sent[i] = pieces[i]
      return scoped({
        length = function() return #pieces[i] end,
        getBytes = function(_, from, size)
          assert(size > 0 and from + size <= #pieces[i])
          return pieces[i]:sub(from + 1, from + size)
        end,
        setBytes = function(_, text) sent[i] = text end,
      })
    end
  end
  envoy_on_response(handle)
  for i = 1, #pieces do sent[i] = sent[i] or pieces[i] end
  return table.concat(sent), written, table.concat(removed, ","), table.concat(logged, "\\n"), #order, sent
end
return run
"""


@dataclass(frozen=True, slots=True)
class Metered:
    """What the script did to one response."""

    sent: bytes
    usage: dict[str, Any]
    removed: str
    logged: str
    writes: int
    pieces: list[bytes]


@cache
def _runtime(source: bytes | None) -> tuple[Any, Any]:
    lua = importlib.import_module("lupa.luajit21").LuaRuntime(encoding=None)
    return lua, lua.execute(_HANDLE, source or SOURCE.read_bytes(), b"=usage.lua")


def meter(
    pieces: Sequence[bytes],
    kind: str | None = "openai_chat",
    *,
    hide: bool = False,
    content_type: str | None = "text/event-stream",
    headers: Mapping[str, str] | None = None,
    source: bytes | None = None,
) -> Metered:
    """Send a response body, cut into `pieces`, past the script, or past another text of it (`source`)."""
    lua, run = _runtime(source)
    fields = dict(headers or {})
    if content_type is not None:
        fields["content-type"] = content_type
    verdict: dict[bytes, Any] = {b"hide_usage": hide, b"stream": True}
    if kind is not None:
        verdict[b"meter"] = kind.encode()
    table = lua.table_from
    sent, written, removed, logged, writes, outputs = run(
        table(list(pieces)), table(verdict), table({name.encode(): value.encode() for name, value in fields.items()})
    )
    usage = {name.decode(): value.decode() if isinstance(value, bytes) else value for name, value in written.items()}
    return Metered(sent, usage, removed.decode(), logged.decode(), writes, [outputs[i + 1] for i in range(len(pieces))])
