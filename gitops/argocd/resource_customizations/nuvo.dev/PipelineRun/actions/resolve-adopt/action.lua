-- Argo CD also runs actions that discovery.lua does not offer.
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce
if status.phase ~= "Unresolved" or nonce == nil or nonce == "" then
  error("This run has no trigger to resolve here.", 0)
end
-- The command line of Argo CD, and versions without parameters, do not ask for the IDs.
local ids = (actionParams or {})["executionIds"]
if ids == nil or ids == "" then
  error("Name the executions: executionIds, separated by commas.", 0)
end

obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["nuvo.dev/resolve"] = nonce .. ":adopt=" .. ids
return obj
