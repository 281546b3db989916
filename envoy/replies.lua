-- Puts what Envoy and AI Gateway answer by themselves into the caller's dialect. The plain profile does so by a
-- local_reply_config (local-replies.yaml), for which Envoy Gateway has no field: the table here says the same.
--
-- An envoy.filters.http.lua source, for the response path only. It is the first of ours that an answer meets.
--
-- Reads these fields of the response, which a header_mutation filter has set just before, and takes them away:
--   x-sluicegate-details   %RESPONSE_CODE_DETAILS%
--   x-sluicegate-flags     %RESPONSE_FLAGS%
--   x-sluicegate-path      %REQ(:PATH)% and
--   x-sluicegate-version   %REQ(ANTHROPIC-VERSION)%, by which the dialect is chosen where there was no verdict
-- and namespace `sluicegate`: verdict, operation.
--
-- What policies have answered, and what an upstream has, is left as it is.

local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match, string.sub

-- The first that fits is taken. `verdict`: allow, none or any; left out: allow or none. `details`: beginnings. `flags`: of
-- which one is raised. `most`: the status is no higher. `says`: the message is AI Gateway's own.
local CAUSES = {
  { code = "request_too_large", status = 413, answer = 413,
    message = "The request body is larger than this gateway accepts." },
  { code = "request_headers_too_large", status = 431, answer = 431,
    message = "The request's header fields are larger or more than this gateway accepts." },
  { code = "upgrade_not_supported", status = 403, details = { "upgrade_failed" }, answer = 400,
    message = "This gateway does not upgrade connections." },
  { code = "request_timeout", status = 408, verdict = "none", answer = 408,
    message = "The request did not arrive in time." },
  { code = "gateway_outdated", status = 404, details = { "route_not_found", "direct_response" }, verdict = "allow", answer = 503,
    message = "This gateway's Envoy does not know the upstream of this request yet: its configuration must be rendered anew." },
  { code = "upstream_timeout", flags = { "UT", "SI", "DT", "UMSDR" }, verdict = "allow", answer = 504,
    message = "The upstream did not answer in time." },
  { code = "upstream_unavailable", flags = { "UF", "UH", "UO", "UC", "UR", "LR", "URX", "UPE", "NC", "DF", "LH" },
    verdict = "allow", answer = 503, retry_after = 1,
    message = "The upstream cannot be reached at the moment." },
  { code = "no_verdict", details = { "lua_response" }, verdict = "any", answer = 503, retry_after = 1,
    message = "The gateway could not decide about this request. Try again later." },
  { code = "policy_unavailable", status = 503, verdict = "none", answer = 503, retry_after = 1,
    message = "The gateway could not decide about this request. Try again later." },
  { code = "policy_unavailable", status = 504, verdict = "none", answer = 503, retry_after = 1,
    message = "The gateway could not decide about this request. Try again later." },
  { code = "policy_unavailable", status = 500, verdict = "none", answer = 503, retry_after = 1,
    message = "The gateway could not decide about this request. Try again later." },
  -- AI Gateway, of a body that it cannot read, or not say in the provider's words.
  { code = "unsupported_by_provider", status = 400, verdict = "allow", answer = 400, says = true,
    message = "AI Gateway cannot read this request." },
  { code = "unsupported_by_provider", status = 422, verdict = "allow", answer = 400, says = true,
    message = "AI Gateway cannot put this request into the provider's words." },
  { code = "unknown_endpoint", status = 404, verdict = "none", answer = 404,
    message = "This gateway has no such endpoint. Check the base URL, the path and the method." },
  { code = "malformed_request", most = 499, verdict = "none", answer = 400,
    message = "The request is not well-formed HTTP." },
  { code = "gateway_error", answer = 502,
    message = "The gateway could not serve this request." },
}

-- The dialects' types of error by status, as `extproc.dialects` has them; all others are the last two of `type_of`.
local OPENAI_TYPES = {
  [401] = "authentication_error", [403] = "permission_error", [404] = "not_found_error", [429] = "rate_limit_error",
}
local ANTHROPIC_TYPES = {
  [400] = "invalid_request_error", [401] = "authentication_error", [403] = "permission_error", [404] = "not_found_error",
  [413] = "request_too_large", [429] = "rate_limit_error", [503] = "overloaded_error", [529] = "overloaded_error",
}

local function begins(text, prefixes)
  for _, prefix in ipairs(prefixes) do
    if sub(text, 1, #prefix) == prefix then return true end
  end
  return false
end

local function raised(flags, wanted)
  for flag in string.gmatch(flags, "[^,]+") do
    for _, one in ipairs(wanted) do
      if flag == one then return true end
    end
  end
  return false
end

local function fits(cause, reply)
  local wanted, verdict = cause.verdict, reply.verdict
  if wanted == nil and verdict ~= "allow" and verdict ~= "none" then return false end
  if wanted ~= nil and wanted ~= "any" and verdict ~= wanted then return false end
  if cause.status and cause.status ~= reply.status then return false end
  if cause.most and reply.status > cause.most then return false end
  if cause.details and not begins(reply.details, cause.details) then return false end
  if cause.flags and not raised(reply.flags, cause.flags) then return false end
  return true
end

local function cause_of(reply)
  for _, cause in ipairs(CAUSES) do
    if fits(cause, reply) then return cause end
  end
end

local function type_of(types, status, server)
  return types[status] or (status >= 500 and server or "invalid_request_error")
end

-- Where there was a verdict, the operation tells; the path may have become the provider's own.
local function is_anthropic(reply)
  if reply.operation then return reply.operation == "messages" or reply.operation == "count_tokens" end
  return begins(reply.path, { "/v1/messages", "/anthropic/" })
    or (reply.version ~= "" and begins(reply.path, { "/v1/models" }))
end

-- The text as a JSON string. It holds nothing but what we wrote, Envoy's id of the request, or `said`.
local function quoted(text) return '"' .. gsub(text, '[%c"\\\128-\255]', "?") .. '"' end

local function body_of(reply, cause, message)
  local id, code, status = quoted(reply.id), quoted(cause.code), cause.answer
  if is_anthropic(reply) then
    return '{"type":"error","error":{"type":' .. quoted(type_of(ANTHROPIC_TYPES, status, "api_error"))
      .. ',"message":' .. quoted(message) .. ',"code":' .. code .. '},"request_id":' .. id .. "}"
  elseif not reply.operation and begins(reply.path, { "/mcp" }) then
    return '{"jsonrpc":"2.0","id":null,"error":{"code":' .. status .. ',"message":' .. quoted(message)
      .. ',"data":{"code":' .. code .. ',"request_id":' .. id .. "}}}"
  end
  return '{"error":{"message":' .. quoted(message) .. ',"type":' .. quoted(type_of(OPENAI_TYPES, status, "server_error"))
    .. ',"param":null,"code":' .. code .. "}}"
end

-- Why AI Gateway refuses: its message, which it does not escape.
local function said(text, fallback)
  local found = match(text, '"message":"(.*)"}}%s*$')
  return found and fallback .. " It says: " .. sub(found, 1, 500) or fallback
end

local FIELDS = { "x-sluicegate-details", "x-sluicegate-flags", "x-sluicegate-path", "x-sluicegate-version" }

-- What the fields say. Takes them away.
local function taken(headers)
  local values = {}
  for i, name in ipairs(FIELDS) do
    values[i] = headers:get(name) or ""
    headers:remove(name)
  end
  return values
end

-- What is known of a reply, if it is not the upstream's or a policy's own.
local function read(handle)
  local headers = handle:headers()
  local status = tonumber(headers:get(":status")) or 0
  if status < 400 then
    -- Nearly all are so: nothing more is asked than must be.
    for _, name in ipairs(FIELDS) do headers:remove(name) end
    return nil
  end
  local values = taken(headers)
  if values[1] == "via_upstream" then return nil end
  local told = handle:streamInfo():dynamicMetadata():get("sluicegate") or {}
  local verdict = told["verdict"] or "none"
  if verdict == "reject" or verdict == "respond" then return nil end
  return {
    status = status, id = headers:get("x-request-id") or "",
    verdict = verdict, operation = told["operation"],
    details = values[1], flags = values[2], path = values[3], version = values[4],
  }
end

local function answer(handle, reply, cause)
  local body = handle:body(true)
  local message = cause.message
  if cause.says and body:length() > 0 then message = said(body:getBytes(0, body:length()), message) end
  local text = body_of(reply, cause, message)
  body:setBytes(text)
  local headers = handle:headers()
  headers:replace(":status", tostring(cause.answer))
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(#text))
  if cause.retry_after then
    headers:replace("retry-after", tostring(cause.retry_after))
    headers:replace("retry-after-ms", tostring(cause.retry_after * 1000))
  end
end

function envoy_on_response(handle)
  local reply = read(handle)
  local cause = reply and cause_of(reply)
  if cause then answer(handle, reply, cause) end
end
