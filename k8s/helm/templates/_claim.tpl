{{/* A volume claim of each pod, which can never be changed: it carries no version. (list $ persistence "name") */}}
{{- define "vectordb.claim" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
- metadata:
    name: {{ index . 2 }}
    labels:
      app: {{ include "vectordb.name" $root }}
    {{- with $of.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- with $of.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    {{- with $of.volumeAttributesClassName }}
    volumeAttributesClassName: {{ . }}
    {{- end }}
    accessModes:
      {{- toYaml $of.accessModes | nindent 6 }}
    resources:
      requests:
        storage: {{ $of.size }}
{{- end }}
