{{/* What must not be installed. Each message says what to do. */}}
{{- define "sluicegate.refuse" -}}
{{- $values := .Values -}}
{{- $server := $values.config.server | default dict -}}
{{- range $key := list "listen" "admin" "tls" "workers" "profile" -}}
  {{- if hasKey $server $key -}}{{ fail (printf "config.server.%s is set by the chart: take it out" $key) }}{{- end -}}
{{- end -}}
{{- if contains "embedded://" (toJson $values.config) -}}{{ fail "config: embedded:// addresses are for `sluicegate up`" }}{{- end -}}
{{- if and (eq $values.mode "service") (eq $values.tls.mode "none") (not $values.networkPolicy.enabled) -}}
  {{ fail "tls.mode none and no networkPolicy: whoever reaches the port can ask for verdicts and write completions" }}
{{- end -}}
{{- if and (eq $values.mode "sidecar") (gt (int $values.workers) 1) -}}
  {{ fail "workers: in a sidecar it is 1: let Envoy have more replicas" }}
{{- end -}}
{{- if and (eq $values.probes.readiness "grpc") (ne (include "sluicegate.readiness" (dict "readiness" "auto" "Values" $values)) "grpc") -}}
  {{ fail "probes.readiness: grpc needs mode service, one worker and no TLS: kubelets speak gRPC to one port, without certificates" }}
{{- end -}}
{{- $port := include "sluicegate.listenPort" . | int -}}
{{- if has $port (list 1061 1063 1064 8081 9856 10088 18000 18001 18002 19000 19001 19002 19003) -}}
  {{ fail (printf "config.listen.port: %d is an inner port of Envoy, Envoy Gateway or AI Gateway, and not for clients" $port) }}
{{- end -}}
{{- include "sluicegate.refuseJournal" . -}}
{{- include "sluicegate.refuseReferences" (dict "tree" $values.config.policies "path" "config.policies" "values" $values) -}}
{{- end }}

{{- define "sluicegate.refuseJournal" -}}
{{- $journal := .Values.journal -}}
{{- $audited := false -}}
{{- range .Values.config.policies -}}
  {{- if eq .policy "audit" -}}
    {{- $audited = true -}}
    {{- $folder := dig "settings" "journal" "folder" "" . -}}
    {{- if not (hasPrefix "/var/lib/sluicegate/" $folder) -}}
      {{ fail "config: the journal's folder must be below /var/lib/sluicegate, where its volume is" }}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $audited (not $journal.enabled) -}}{{ fail "the policy audit needs a volume: set journal.enabled" }}{{- end -}}
{{- if and $journal.enabled (not $audited) -}}{{ fail "journal.enabled: nothing writes there, for the policy audit is not in config.policies" }}{{- end -}}
{{- $several := or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled (eq .Values.mode "sidecar") -}}
{{- if and $journal.enabled $several (ne $journal.accessMode "ReadWriteMany") -}}
  {{ fail "journal.accessMode: several replicas write into one volume, which needs ReadWriteMany; or set replicas to 1" }}
{{- end -}}
{{- end }}

{{/* Every {env: NAME} below the policies must be given, or the server would not start. */}}
{{- define "sluicegate.refuseReferences" -}}
{{- $values := .values -}}{{- $path := .path -}}
{{- if kindIs "map" .tree -}}
  {{- if and (eq (len .tree) 1) (hasKey .tree "env") (kindIs "string" .tree.env) -}}
    {{- $given := keys ($values.secrets.env | default dict) -}}
    {{- range $values.extraEnv -}}{{- $given = append $given .name -}}{{- end -}}
    {{- if not (has .tree.env $given) -}}
      {{ fail (printf "%s: the environment variable %s is not given: add it to secrets.env" $path .tree.env) }}
    {{- end -}}
  {{- end -}}
  {{- range $key, $value := .tree -}}
    {{- include "sluicegate.refuseReferences" (dict "tree" $value "path" (printf "%s.%s" $path $key) "values" $values) -}}
  {{- end -}}
{{- else if kindIs "slice" .tree -}}
  {{- range $index, $value := .tree -}}
    {{- include "sluicegate.refuseReferences" (dict "tree" $value "path" (printf "%s[%d]" $path $index) "values" $values) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The configuration as the policy server reads it. */}}
{{- define "sluicegate.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := $config.server | default dict -}}
{{- if eq .Values.mode "sidecar" -}}
  {{- $_ := set $server "listen" "unix:/run/sluicegate/policy/policy.sock" -}}
{{- else -}}
  {{- $_ := set $server "listen" (printf "%s:%d" .Values.service.address (int .Values.service.port)) -}}
  {{- if ne .Values.tls.mode "none" -}}
    {{- $host := printf "%s.%s.svc" .Values.service.name .Release.Namespace -}}
    {{- $envoy := dict "certificate" "/etc/envoy/tls/tls.crt" "key" "/etc/envoy/tls/tls.key" "ca" "/etc/envoy/tls/ca.crt" "server_name" $host "host" $host -}}
    {{- $files := dict "certificate" "/etc/sluicegate/tls/tls.crt" "key" "/etc/sluicegate/tls/tls.key" "client_ca" "/etc/sluicegate/tls/ca.crt" -}}
    {{- $_ := set $server "tls" (merge (dict "client_names" (list .Values.tls.clientName) "envoy" $envoy) $files) -}}
  {{- end -}}
{{- end -}}
{{- $_ := set $server "admin" (printf "%s:%d" .Values.service.address (int .Values.adminPort)) -}}
{{- $_ := set $server "workers" (int .Values.workers) -}}
{{- $_ := set $server "profile" .Values.profile -}}
{{- $_ := set $config "server" $server -}}
{{ toYaml $config }}
{{- end }}
