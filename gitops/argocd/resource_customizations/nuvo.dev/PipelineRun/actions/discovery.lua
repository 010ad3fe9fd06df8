local metadata = obj.metadata or {}
local spec = obj.spec or {}
local status = obj.status or {}
local nonce = (status.trigger or {}).nonce

local triggers = spec.executionId == nil
local observed = status.observedGeneration ~= nil and status.observedGeneration == metadata.generation
local ended = observed and status.completionTime ~= nil
-- The answer names the trigger by its nonce.
local answerable = observed and status.phase == "Unresolved" and nonce ~= nil and nonce ~= ""
local untriggered = status.phase == nil or status.phase == "Pending"

local actions = {}
actions["rerun"] = {
  -- To start a run in doubt again, a person must resolve the doubt, and so has seen it.
  ["disabled"] = not (triggers and ended and not answerable),
  ["displayName"] = "Run again",
  ["iconClass"] = "fa fa-fw fa-redo",
}
actions["suspend"] = {
  ["disabled"] = not (triggers and untriggered and spec.suspend ~= true),
  ["displayName"] = "Suspend",
  ["iconClass"] = "fa fa-fw fa-pause",
}
actions["resume"] = {
  ["disabled"] = not (spec.suspend == true and status.completionTime == nil),
  ["displayName"] = "Resume",
  ["iconClass"] = "fa fa-fw fa-play",
}
if answerable then
  actions["resolve-retry"] = {
    ["displayName"] = "Resolve: nothing was started, trigger again",
    ["iconClass"] = "fa fa-fw fa-redo",
  }
  actions["resolve-adopt"] = {
    ["displayName"] = "Resolve: it started these executions",
    ["iconClass"] = "fa fa-fw fa-check",
    ["params"] = { { ["name"] = "executionIds" } },
  }
  actions["resolve-abandon"] = {
    ["displayName"] = "Resolve: close it",
    ["iconClass"] = "fa fa-fw fa-times",
  }
end
return actions
