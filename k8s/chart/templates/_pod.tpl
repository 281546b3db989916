{{/* The containers and volumes of the policy server, in pods of its own and in Envoy's. */}}
{{- define "sluicegate.readiness" -}}
{{- $plain := and (eq .Values.mode "service") (eq .Values.tls.mode "none") (eq (int .Values.workers) 1) -}}
{{- if ne .readiness "auto" -}}{{ .readiness }}{{- else -}}{{ ternary "grpc" "http" $plain }}{{- end -}}
{{- end }}

{{- define "sluicegate.containerSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int .Values.podSecurityContext.runAsUser }}
  runAsGroup: {{ int .Values.podSecurityContext.runAsGroup }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sluicegate.env" -}}
env:
  - {name: HOME, value: /tmp}
  {{- range $name, $from := .Values.secrets.env }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sluicegate.mounts" -}}
- {name: sluicegate-config, mountPath: /etc/sluicegate/config, readOnly: true}
- {name: sluicegate-tmp, mountPath: /tmp}
- {name: sluicegate-spool, mountPath: /var/spool/sluicegate}
{{- if .Values.journal.enabled }}
- {name: sluicegate-journal, mountPath: /var/lib/sluicegate}
{{- end }}
{{- range .Values.secrets.files }}
- {name: sluicegate-secret-{{ .name }}, mountPath: /etc/sluicegate/secrets/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "sluicegate.policyContainer" -}}
name: policy
image: {{ include "sluicegate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, /etc/sluicegate/config/gateway.yaml]
{{- include "sluicegate.env" . | nindent 0 }}
ports:
  {{- if eq .Values.mode "service" }}
  {{- range $port := untilStep (int .Values.service.port) (int (add1 (include "sluicegate.lastPort" .))) 1 }}
  - {name: {{ if eq $port (int $.Values.service.port) }}grpc{{ else }}grpc-{{ sub $port (int $.Values.service.port) }}{{ end }}, containerPort: {{ $port }}, protocol: TCP}
  {{- end }}
  {{- end }}
  - {name: sg-admin, containerPort: {{ int .Values.adminPort }}, protocol: TCP}
startupProbe:
  httpGet: {path: /health/startup, port: sg-admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (int .Values.probes.startupSeconds) 2 }}
livenessProbe:
  httpGet: {path: /health/live, port: sg-admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- if eq (include "sluicegate.readiness" (dict "readiness" .Values.probes.readiness "Values" .Values)) "grpc" }}
  grpc: {port: {{ int .Values.service.port }}}
  {{- else }}
  httpGet: {path: /health/ready, port: sg-admin}
  {{- end }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- if eq .Values.mode "service" }}
lifecycle:
  preStop:
    sleep: {seconds: {{ int .Values.drain.preStopSeconds }}}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- include "sluicegate.containerSecurity" . | nindent 0 }}
volumeMounts:
  {{- include "sluicegate.mounts" . | nindent 2 }}
  {{- if eq .Values.mode "sidecar" }}
  - {name: sluicegate-socket, mountPath: /run/sluicegate}
  {{- else if ne .Values.tls.mode "none" }}
  - {name: sluicegate-tls, mountPath: /etc/sluicegate/tls, readOnly: true}
  {{- end }}
{{- end }}

{{/* Brings records to sinks, and completes them. It begins before the policy server and ends after it. */}}
{{- define "sluicegate.followContainer" -}}
name: follow
image: {{ include "sluicegate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [audit, follow, /etc/sluicegate/config/gateway.yaml]
restartPolicy: Always
{{- include "sluicegate.env" . | nindent 0 }}
resources:
  {{- toYaml .Values.journal.follow.resources | nindent 2 }}
{{- include "sluicegate.containerSecurity" . | nindent 0 }}
volumeMounts:
  {{- include "sluicegate.mounts" . | nindent 2 }}
{{- end }}

{{- define "sluicegate.volumes" -}}
- name: sluicegate-config
  configMap: {name: {{ include "sluicegate.fullname" . }}}
- name: sluicegate-tmp
  emptyDir: {sizeLimit: 64Mi}
- name: sluicegate-spool
  emptyDir: {sizeLimit: 256Mi}
{{- if .Values.journal.enabled }}
- name: sluicegate-journal
  persistentVolumeClaim: {claimName: {{ include "sluicegate.claim" . }}}
{{- end }}
{{- range .Values.secrets.files }}
- name: sluicegate-secret-{{ .name }}
  secret: {secretName: {{ .secret }}, defaultMode: 288}
{{- end }}
{{- if eq .Values.mode "sidecar" }}
- name: sluicegate-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- else if ne .Values.tls.mode "none" }}
- name: sluicegate-tls
  secret: {secretName: {{ .Values.tls.secret }}, defaultMode: 288}
{{- end }}
{{- end }}

{{- define "sluicegate.podTemplate" -}}
metadata:
  labels:
    {{- include "sluicegate.selector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: policy
    checksum/config: {{ include "sluicegate.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{- end }}
spec:
  serviceAccountName: {{ include "sluicegate.fullname" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "sluicegate.graceSeconds" . }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key, $when := dict "topology.kubernetes.io/zone" .Values.topologySpread.zone "kubernetes.io/hostname" .Values.topologySpread.host }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $when }}
      labelSelector:
        matchLabels:
          {{- include "sluicegate.selector" $ | nindent 10 }}
    {{- end }}
  {{- if .Values.journal.enabled }}
  initContainers:
    - {{ include "sluicegate.followContainer" . | nindent 6 | trim }}
  {{- end }}
  containers:
    - {{ include "sluicegate.policyContainer" . | nindent 6 | trim }}
  volumes:
    {{- include "sluicegate.volumes" . | nindent 4 }}
{{- end }}
