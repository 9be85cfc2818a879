{{/* Defaults of what is taken as a whole or not at all: helm would mix those of values.yaml with what is said, a request over a limit. */}}

{{/* What a node is given. */}}
{{- define "vectordb.resources" -}}
{{- if kindIs "invalid" .Values.resources -}}
limits:
  cpu: "4"
  memory: 16Gi
requests:
  cpu: "2"
  memory: 8Gi
{{- else -}}
{{- with .Values.resources -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What a node does before it is told to stop. */}}
{{- define "vectordb.lifecycle" -}}
{{- if kindIs "invalid" .Values.lifecycle -}}
preStop:
  exec:
    command:
    - /usr/bin/vectordb
    - ctl
    - prestop
    - --linger=5
{{- else -}}
{{- with .Values.lifecycle -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
{{- end }}
