local os = require("os")

-- Argo CD also runs actions that discovery.lua has disabled, and each new token is one more trigger.
local metadata = obj.metadata or {}
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce
if obj.spec.executionId ~= nil then
  error("This run follows an existing execution (spec.executionId): create another run instead.", 0)
end
if status.completionTime == nil or status.observedGeneration ~= metadata.generation then
  error("This run has not ended yet.", 0)
end
if status.phase == "Unresolved" and nonce ~= nil and nonce ~= "" then
  error("It is unknown what the last trigger of this run started: use one of the resolve actions.", 0)
end

-- With seconds, because a token that equals the last one would start nothing.
obj.spec.rerunToken = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
