-- With no health, an empty one or Missing, Argo CD would continue the sync, so this script always returns one.
local health = { status = "Progressing", message = "The operator has not looked at this pipeline yet." }

local metadata = obj.metadata or {}
local status = obj.status or {}
if status.conditions == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation then
  health.message = "The operator has not looked at the newest change of this pipeline yet."
  return health
end

-- Of data that is stale or wrong, and of an account that is away, people learn elsewhere: it is no reason to stop a sync. With the
-- annotation, the data counts, too.
local data_counts = (metadata.annotations or {})["nuvo.dev/health"] == "data"
local about_data = { Fresh = true, LastExecutionSucceeded = true, QualityGatePassed = true }
-- Each of the two says that it does not continue by itself, so that one of them suffices.
local stalling = { PipelineNotFound = true, InvalidSpec = true }
local stalled = false
local data_is_bad = false
local notes = {}
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    if condition.status == "True" or condition.status == "False" then
      health.status = "Healthy"
    end
    stalled = stalled or stalling[condition.reason or ""] == true
    health.message = condition.message or condition.reason or health.status
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = true
  elseif about_data[condition.type or ""] and condition.status == "False" then
    data_is_bad = true
    table.insert(notes, condition.message or condition.type)
  elseif condition.type == "DeveloperMode" and condition.status == "True" then
    table.insert(notes, condition.message or condition.type)
  end
end
if stalled or (health.status == "Healthy" and data_counts and data_is_bad) then
  health.status = "Degraded"
end
-- What Ready says comes first, whatever the order of the conditions.
for _, note in ipairs(notes) do
  health.message = health.message .. " " .. note
end
return health
