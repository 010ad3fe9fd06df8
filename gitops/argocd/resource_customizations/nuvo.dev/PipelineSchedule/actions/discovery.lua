local spec = obj.spec or {}

local actions = {}
actions["run-now"] = {
  ["displayName"] = "Run now",
  ["iconClass"] = "fa fa-fw fa-play-circle",
}
actions["suspend"] = {
  ["disabled"] = spec.suspend == true,
  ["displayName"] = "Suspend",
  ["iconClass"] = "fa fa-fw fa-pause",
}
actions["resume"] = {
  ["disabled"] = spec.suspend ~= true,
  ["displayName"] = "Resume",
  ["iconClass"] = "fa fa-fw fa-play",
}
return actions
