-- With no health, an empty one or Missing, Argo CD would continue the sync, so this script always returns one.
local health = { status = "Progressing", message = "The operator has not looked at this schedule yet." }

local metadata = obj.metadata or {}
local status = obj.status or {}
if status.conditions == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation then
  health.message = "The operator has not looked at the newest change of this schedule yet."
  return health
end

-- A run that failed, or a slot that waits, is no reason to stop a sync: this is about the schedule. With the annotation, the last run counts,
-- too.
local run_counts = (metadata.annotations or {})["nuvo.dev/health"] == "last-run"
-- Each of the two says that it does not continue by itself, so that one of them suffices.
local stalling = { InvalidSchedule = true, InvalidTimeZone = true, NeverDue = true, NotSelected = true }
local stalled = false
local run_failed = false
local notes = {}
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    if condition.status == "True" or condition.status == "False" then
      health.status = "Healthy"
    end
    stalled = stalled or stalling[condition.reason or ""] == true
    health.message = condition.message or condition.reason or health.status
    -- A schedule that starts its slots has nothing to say.
    if health.message == "" then
      health.message = "Each slot starts a run when it is due."
    end
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = true
  elseif condition.type == "LastRunSucceeded" and condition.status == "False" then
    run_failed = true
    table.insert(notes, condition.message or condition.type)
  elseif condition.type == "AlsoScheduledInNuvo" and condition.status == "True" then
    table.insert(notes, condition.message or condition.type)
  end
end
if stalled or (health.status == "Healthy" and run_counts and run_failed) then
  health.status = "Degraded"
end
-- What Ready says comes first, whatever the order of the conditions.
for _, note in ipairs(notes) do
  health.message = health.message .. " " .. note
end
return health
