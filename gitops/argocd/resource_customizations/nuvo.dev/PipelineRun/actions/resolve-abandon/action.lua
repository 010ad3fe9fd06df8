-- Argo CD runs an action also when discovery.lua does not offer it.
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce
if status.phase ~= "Unresolved" or nonce == nil or nonce == "" then
  error("This run has no trigger that could be resolved here.", 0)
end

obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["nuvo.dev/resolve"] = nonce .. ":abandon"
return obj
