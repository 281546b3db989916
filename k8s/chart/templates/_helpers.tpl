{{/* Names. */}}
{{- define "sluicegate.fullname" -}}
{{- if contains "sluicegate" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-sluicegate" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- define "sluicegate.selector" -}}
app.kubernetes.io/name: sluicegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: policy
{{- end }}

{{- define "sluicegate.labels" -}}
{{ include "sluicegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Where what pods mount must be: in a sidecar the pods are Envoy's. */}}
{{- define "sluicegate.podNamespace" -}}
{{- if eq .Values.mode "sidecar" -}}{{ .Values.gateway.envoyNamespace }}{{- else -}}{{ .Release.Namespace }}{{- end -}}
{{- end }}

{{- define "sluicegate.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end }}

{{- define "sluicegate.claim" -}}
{{ .Values.journal.existingClaim | default (printf "%s-journal" (include "sluicegate.fullname" .)) }}
{{- end }}

{{/* The first port, and with several workers one for each, and the last for settlement. */}}
{{- define "sluicegate.lastPort" -}}
{{- $workers := int .Values.workers -}}
{{- if gt $workers 1 -}}{{ add (int .Values.service.port) $workers }}{{- else -}}{{ int .Values.service.port }}{{- end -}}
{{- end }}

{{- define "sluicegate.envoyPods" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ .Values.gateway.envoyNamespace }}
podSelector:
  matchLabels:
    {{- include "sluicegate.envoyLabels" . | nindent 4 }}
{{- end }}

{{- define "sluicegate.envoyLabels" -}}
gateway.envoyproxy.io/owning-gateway-name: {{ .Values.gateway.name }}
gateway.envoyproxy.io/owning-gateway-namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Where Envoy's pods listen for clients: Envoy Gateway adds 10000 to the ports below 1024. */}}
{{- define "sluicegate.listenPort" -}}
{{- $port := dig "listen" "port" 8080 .Values.config | int -}}
{{ ternary (add $port 10000) $port (lt $port 1024) }}
{{- end }}

{{/* Seconds from SIGTERM's announcement to SIGKILL: exchanges, then their settlement, each take server.grace at most. */}}
{{- define "sluicegate.graceSeconds" -}}
{{- $server := .Values.config.server | default dict -}}
{{- $grace := ceil ($server.grace | default 10) | int -}}
{{ add (int .Values.drain.preStopSeconds) (mul 2 $grace) (int .Values.drain.extraSeconds) }}
{{- end }}
