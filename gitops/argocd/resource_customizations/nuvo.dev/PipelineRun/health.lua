-- Argo CD would take no health, an empty one or Missing for the success of a hook, so this script always returns one.
local health = { status = "Progressing", message = "The operator has not looked at this run yet." }

local metadata = obj.metadata or {}
local status = obj.status or {}
if status.conditions == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation then
  health.message = "The operator has not looked at the newest change of this run yet."
  return health
end

local notes = {}
for _, condition in ipairs(status.conditions) do
  if condition.type == "Succeeded" then
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    elseif condition.reason == "Suspended" then
      health.status = "Suspended"
    end
    health.message = condition.message or condition.reason or health.status
  elseif condition.status == "True"
    and (condition.type == "DeveloperMode" or condition.type == "DeletionBlocked" or condition.type == "Unwatched") then
    table.insert(notes, condition.message or condition.type)
  end
end
-- The outcome comes first, whatever the order of the conditions.
for _, note in ipairs(notes) do
  health.message = health.message .. " " .. note
end
return health
