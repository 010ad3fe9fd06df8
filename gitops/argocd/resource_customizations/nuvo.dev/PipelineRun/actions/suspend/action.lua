-- Argo CD also runs actions that discovery.lua has disabled. On a run that has ended, the next token would then start nothing.
local status = obj.status or {}
if obj.spec.executionId ~= nil then
  error("This run follows an existing execution (spec.executionId): there is nothing to hold back.", 0)
end
if obj.spec.suspend == true then
  error("This run is suspended already.", 0)
end
if status.phase ~= nil and status.phase ~= "Pending" then
  error("This run has been triggered already, and nuvo cannot suspend an execution.", 0)
end

obj.spec.suspend = true
return obj
