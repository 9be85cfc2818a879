{{/* What a node is given. Defaults stand here, as helm would mix those of values.yaml with what is said, a request over a limit. */}}
{{- define "vectordb.resources" -}}
{{- if kindIs "invalid" .Values.resources -}}
limits: {cpu: "4", memory: 16Gi}
requests: {cpu: "2", memory: 8Gi}
{{- else -}}
{{- with .Values.resources -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
{{- end }}
