{{- define "nuvo-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "nuvo-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The name of cluster-scoped objects: releases with the same name in two namespaces must not share them. */ -}}
{{- define "nuvo-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "nuvo-operator.fullname" .) }}
{{- end }}

{{- define "nuvo-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "nuvo-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nuvo-operator.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "nuvo-operator.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- toYaml (merge $own .Values.commonLabels) }}
{{- end }}

{{- define "nuvo-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "nuvo-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "nuvo-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "nuvo-operator.operatorNamespace" -}}
{{- default .Release.Namespace .Values.operatorNamespace }}
{{- end }}

{{- define "nuvo-operator.host" -}}
{{- if contains ":" .Values.bindAddress }}{{ printf "[%s]" .Values.bindAddress }}{{ else }}{{ .Values.bindAddress }}{{ end }}
{{- end }}

{{- define "nuvo-operator.gracePeriod" -}}
{{- $given := .Values.terminationGracePeriodSeconds }}
{{- if kindIs "invalid" $given }}
{{- add (ceil .Values.trigger.timeoutSeconds) 45 }}
{{- else }}
{{- if le (float64 $given) (float64 .Values.trigger.timeoutSeconds) }}
{{- fail (printf "terminationGracePeriodSeconds (%v) must be longer than trigger.timeoutSeconds (%v): %s"
  $given .Values.trigger.timeoutSeconds "a POST in flight would be interrupted, and its run would end in doubt") }}
{{- end }}
{{- $given }}
{{- end }}
{{- end }}

{{- /* Checks that depend on two values, which the schema cannot express. */ -}}
{{- define "nuvo-operator.validate" -}}
{{- if and (not .Values.leaderElection.enabled) (gt (int .Values.replicas) 1) }}
{{- fail (printf "replicas is %v, but leaderElection.enabled is false: %s"
  .Values.replicas "several operators would work on the same runs. Set replicas to 1 or enable the election") }}
{{- end }}
{{- if and .Values.additionalCa.configMap .Values.additionalCa.secret }}
{{- fail "additionalCa.configMap and additionalCa.secret are both set: leave one of them out" }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.health.port) }}
{{- fail (printf "metrics.port and health.port are both %v: give one of them another port" .Values.metrics.port) }}
{{- end }}
{{- $inFlight := addf .Values.trigger.timeoutSeconds .Values.trigger.fenceSeconds }}
{{- if lt (float64 .Values.quarantineSeconds) (float64 $inFlight) }}
{{- fail (printf "quarantineSeconds (%v) must be at least trigger.timeoutSeconds + trigger.fenceSeconds (%v): %s"
  .Values.quarantineSeconds $inFlight "a POST can be in flight for that long") }}
{{- end }}
{{- range .Values.rbac.secretNamespaces }}
{{- if and $.Values.watchNamespaces (not (has . $.Values.watchNamespaces)) }}
{{- fail (printf "rbac.secretNamespaces has %s, which is not in watchNamespaces: remove it, or watch this namespace, too" .) }}
{{- end }}
{{- end }}
{{- range list .Release.Namespace (include "nuvo-operator.operatorNamespace" .) }}
{{- if has . (list "kube-system" "kube-public" "kube-node-lease") }}
{{- fail (printf "the operator cannot use the namespace %s: %s" .
  "it may write all Leases of its namespace, and those of Kubernetes itself are there. Install the chart into a namespace of its own") }}
{{- end }}
{{- end }}
{{- end }}
