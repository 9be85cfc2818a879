{{/* A probe of the port whose checks are enabled: (list $ probe path). */}}
{{- define "vectordb.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := index . 1 -}}
{{- $path := index . 2 -}}
{{- range $root.Values.service.ports -}}
{{- if .checksEnabled -}}
{{- if eq .name "grpc" -}}
grpc:
  port: {{ .targetPort }}
{{- else -}}
httpGet:
  path: {{ $path }}
  port: {{ .name }}
  {{- if include "vectordb.tls" $root }}
  scheme: HTTPS
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "failureThreshold" "successThreshold" }}
{{- if hasKey $probe $name }}
{{- if or (ne $name "initialDelaySeconds") (get $probe $name) }}
{{ $name }}: {{ get $probe $name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
