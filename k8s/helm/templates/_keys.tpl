{{/* The secretKeyRef of a key, or nothing: (list $ "apiKey" "api-key"). */}}
{{- define "vectordb.keyRef" -}}
{{- $root := index . 0 -}}
{{- $value := get $root.Values (index . 1) -}}
{{- if kindIs "map" $value -}}
{{- toYaml $value.valueFrom.secretKeyRef -}}
{{- else if $value -}}
name: {{ include "vectordb.fullname" $root }}-apikey
key: {{ index . 2 }}
{{- end -}}
{{- end }}

{{/* A variable with a key, or nothing: (list $ "VARIABLE" "apiKey" "api-key"). */}}
{{- define "vectordb.keyVariable" -}}
{{- with include "vectordb.keyRef" (list (index . 0) (index . 2) (index . 3)) -}}
- name: {{ index $ 1 }}
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
{{- end }}

{{/* The key as it is stored: one that was made is kept as long as its secret is there. (list $ "apiKey" "api-key") */}}
{{- define "vectordb.keyData" -}}
{{- $root := index . 0 -}}
{{- $value := get $root.Values (index . 1) -}}
{{- $key := index . 2 -}}
{{- if and $value (not (kindIs "map" $value)) -}}
{{- if kindIs "bool" $value -}}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (printf "%s-apikey" (include "vectordb.fullname" $root)) | default dict -}}
{{ $key }}: {{ get ($secret.data | default dict) $key | default (randAlphaNum 32 | b64enc) }}
{{- else -}}
{{ $key }}: {{ $value | toString | b64enc }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* How buckets are reached. */}}
{{- define "vectordb.bucketVariables" -}}
{{- with .Values.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.endpointUrl }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.existingSecret }}
{{- range $name := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.s3.existingSecret }}
      key: {{ $name }}
      # Nodes serve without it; only backups need it.
      optional: true
{{- end }}
{{- end }}
{{- end }}

{{/* A container of a job or a test, but for its name and arguments. */}}
{{- define "vectordb.tool" -}}
image: {{ include "vectordb.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: VECTORDB_URI
    value: {{ include "vectordb.uri" . }}
  {{- with include "vectordb.keyVariable" (list . "VECTORDB_API_KEY" "apiKey" "api-key") }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "vectordb.bucketVariables" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .Values.backup.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end }}

{{/* The pod of a job or a test, but for its containers. */}}
{{- define "vectordb.toolPod" -}}
restartPolicy: Never
serviceAccountName: {{ include "vectordb.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}
