{{/* What everything is called: the release, with the chart's name in it. */}}
{{- define "prompt-sidecar.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 56 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 41) .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "prompt-sidecar.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
