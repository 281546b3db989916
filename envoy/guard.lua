-- The guard of the AI Gateway profile: only a request with our verdict passes. Envoy carries on without us when the policy
-- server closes its stream cleanly, and Envoy Gateway offers no RBAC on metadata, which is the guard of the plain profile.
--
-- An envoy.filters.http.lua source, for the request path only. It stands right after the policy filter.
--
-- Envoy lets a request pass when a script raises an error: whatever goes wrong here must end in the answer.

local function passes(handle)
  local told = handle:streamInfo():dynamicMetadata():get("sluicegate")
  return told ~= nil and told["verdict"] == "allow"
end

function envoy_on_request(handle)
  local fine, allowed = pcall(passes, handle)
  if not (fine and allowed == true) then
    -- Put into the caller's dialect by replies.lua.
    handle:respond({ [":status"] = "503", ["content-type"] = "text/plain" }, "no_verdict")
  end
end
