-- Argo CD also runs actions that discovery.lua does not offer.
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce
if status.phase ~= "Unresolved" or nonce == nil or nonce == "" then
  error("This run has no trigger to resolve here.", 0)
end

obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["nuvo.dev/resolve"] = nonce .. ":abandon"
return obj
