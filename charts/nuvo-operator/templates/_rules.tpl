{{- /* Made from src/rbac.rs by `cargo xtask generate`. Do not edit. */ -}}

{{- define "nuvo-operator.rules.whereItWatches" -}}
- apiGroups:
  - nuvo.dev
  resources:
  - pipelineruns
  verbs:
  - get
  - list
  - watch
  - create
  - patch
  - delete
- apiGroups:
  - nuvo.dev
  resources:
  - pipelineruns/status
  verbs:
  - update
- apiGroups:
  - nuvo.dev
  resources:
  - pipelineschedules
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - nuvo.dev
  resources:
  - pipelineschedules/status
  verbs:
  - update
- apiGroups:
  - nuvo.dev
  resources:
  - nuvoaccounts
  verbs:
  - list
  - watch
- apiGroups:
  - nuvo.dev
  resources:
  - nuvoaccounts/status
  verbs:
  - update
- apiGroups:
  - nuvo.dev
  resources:
  - nuvopipelines
  verbs:
  - list
  - watch
- apiGroups:
  - nuvo.dev
  resources:
  - nuvopipelines/status
  verbs:
  - update
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
{{- end }}

{{- define "nuvo-operator.rules.secrets" -}}
- apiGroups:
  - ''
  resources:
  - secrets
  verbs:
  - get
- apiGroups:
  - ''
  resources:
  - configmaps
  verbs:
  - get
{{- end }}

{{- define "nuvo-operator.rules.inItsOwnNamespace" -}}
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - get
  - list
  - create
  - update
  - delete
{{- end }}
