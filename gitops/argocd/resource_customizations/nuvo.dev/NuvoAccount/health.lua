-- With no health, an empty one or Missing, Argo CD would continue the sync, so this script always returns one.
local health = { status = "Progressing", message = "The operator has not looked at this account yet." }

local metadata = obj.metadata or {}
local status = obj.status or {}
if status.conditions == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation then
  health.message = "The operator has not looked at the newest change of this account yet."
  return health
end

for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    end
    health.message = condition.message or condition.reason or health.status
  end
end
return health
