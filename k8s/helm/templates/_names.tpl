{{/* The name in labels. */}}
{{- define "vectordb.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What objects are named after: the release, with the name behind it unless it is in it already. Room is left for suffixes. */}}
{{- define "vectordb.fullname" -}}
{{- $name := include "vectordb.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "vectordb.headless" -}}
{{ include "vectordb.fullname" . }}-headless
{{- end }}

{{/* What never changes of a set's labels; volume claims carry no others, as they cannot be changed. */}}
{{- define "vectordb.selectorLabels" -}}
app: {{ include "vectordb.name" . }}
app.kubernetes.io/name: {{ include "vectordb.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of an object: (list $ "component"). */}}
{{- define "vectordb.labels" -}}
{{- $root := index . 0 -}}
{{ include "vectordb.selectorLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace, annotations and, last, labels: (list $ "component" "name" annotations). */}}
{{- define "vectordb.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
{{- with merge (dict) (index . 3 | default dict) ($root.Values.additionalAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "vectordb.labels" (list $root (index . 1)) | nindent 2 }}
{{- end }}

{{- define "vectordb.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The port of a name: (list $ "http" "port"). */}}
{{- define "vectordb.port" -}}
{{- $name := index . 1 -}}
{{- $of := index . 2 -}}
{{- range (index . 0).Values.service.ports -}}
{{- if eq .name $name }}{{ get . $of }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "vectordb.p2pPort" -}}
{{- dig "p2p" "port" 6335 (.Values.config.cluster | default dict) -}}
{{- end }}

{{- define "vectordb.clustered" -}}
{{- if dig "enabled" false (.Values.config.cluster | default dict) }}true{{ end -}}
{{- end }}

{{- define "vectordb.p2pScheme" -}}
{{- ternary "https" "http" (eq true (dig "p2p" "enable_tls" false (.Values.config.cluster | default dict))) -}}
{{- end }}

{{- define "vectordb.tls" -}}
{{- if or .Values.tls.secretName (dig "service" "enable_tls" false .Values.config) }}true{{ end -}}
{{- end }}

{{- define "vectordb.metricsPrefix" -}}
{{- dig "service" "metrics_prefix" "vectordb_" .Values.config | default "vectordb_" -}}
{{- end }}

{{/* Where jobs and tests reach the server. */}}
{{- define "vectordb.uri" -}}
{{- ternary "https" "http" (eq "true" (include "vectordb.tls" .)) }}://{{ include "vectordb.fullname" . }}:{{ include "vectordb.port" (list . "http" "port") }}
{{- end }}

{{/* Labels of pods that are no nodes, so that no service and no budget takes them for one: (list $ "component"). */}}
{{- define "vectordb.toolLabels" -}}
{{- $root := index . 0 -}}
app: {{ include "vectordb.name" $root }}-{{ index . 1 }}
app.kubernetes.io/name: {{ include "vectordb.name" $root }}-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- with $root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
