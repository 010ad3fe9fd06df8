local os = require("os")

-- Nothing of the schedule's own labels and annotations is copied: those of Argo CD would make the run a part of the application.
local metadata = obj.metadata or {}
local template = (obj.spec or {}).runTemplate
if template == nil or template.spec == nil then
  error("This schedule has no spec.runTemplate.", 0)
end
local made = template.metadata or {}
local labels = made.labels or {}
labels["nuvo.dev/schedule"] = metadata.name

local run = {}
run.apiVersion = obj.apiVersion
run.kind = "PipelineRun"
run.metadata = {}
-- With seconds, so that two clicks of the same second start one run.
run.metadata.name = metadata.name .. "-now-" .. os.time()
run.metadata.namespace = metadata.namespace
run.metadata.labels = labels
-- An empty table would become a list.
if next(made.annotations or {}) ~= nil then
  run.metadata.annotations = made.annotations
end
local owner = {}
owner.apiVersion = obj.apiVersion
owner.kind = obj.kind
owner.name = metadata.name
owner.uid = metadata.uid
owner.controller = true
owner.blockOwnerDeletion = false
run.metadata.ownerReferences = { owner }
run.spec = template.spec

local impacted = {}
impacted.operation = "create"
impacted.resource = run
return { impacted }
