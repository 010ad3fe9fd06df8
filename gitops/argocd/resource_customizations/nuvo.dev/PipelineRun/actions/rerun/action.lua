local os = require("os")

-- Argo CD runs an action also when discovery.lua has disabled it, and every new token is one more trigger.
local metadata = obj.metadata or {}
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce
if obj.spec.executionId ~= nil then
  error("This run follows an execution that existed (spec.executionId): create another run instead.", 0)
end
if status.completionTime == nil or status.observedGeneration ~= metadata.generation then
  error("This run has not ended yet.", 0)
end
if status.phase == "Unresolved" and nonce ~= nil and nonce ~= "" then
  error("Nobody knows what the last trigger of this run has started: use one of the resolve actions.", 0)
end

-- With the seconds: a token that is the same as the last one would start nothing.
obj.spec.rerunToken = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
