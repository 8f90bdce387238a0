{{- define "loyalty.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "loyalty.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "loyalty.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "loyalty.addresses" -}}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: SCHEMA_REGISTRY_URL, value: {{ .Values.schemaRegistryUrl | quote }}}
- {name: LOYALTY_HOME, value: /var/lib/loyalty}
- {name: LOYALTY_LOG, value: json}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "loyalty.secretMount" -}}
{{- if .Values.secretName }}
- {name: secret, mountPath: /etc/loyalty, readOnly: true}
{{- end }}
{{- end }}

{{- define "loyalty.secretVolume" -}}
{{- if .Values.secretName }}
- {name: secret, secret: {secretName: {{ .Values.secretName }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- define "loyalty.warehouse" -}}
{{- with .Values.warehouse }}
{{- range $name, $value := dict "CATALOGUE" .catalogue "LOCATION" .location "REST_WAREHOUSE" .restWarehouse "NAMESPACE" .namespace "PARTITION_BY" .partitionBy "S3_ENDPOINT" .s3.endpoint "S3_REGION" .s3.region }}
{{- if $value }}
- {name: LOYALTY_WAREHOUSE_{{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
- {name: LOYALTY_WAREHOUSE_COMMIT_INTERVAL_MS, value: {{ .commitIntervalMs | int | quote }}}
- {name: LOYALTY_WAREHOUSE_READY_LAG_SECONDS_MAX, value: {{ .readyLagSeconds | int | quote }}}
- {name: LOYALTY_WAREHOUSE_METRICS_HOST, value: 0.0.0.0}
{{- end }}
{{- end }}

{{- define "loyalty.warehouseSecret" -}}
{{- with .Values.warehouse.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "loyalty.prefix" -}}
{{- if .Values.topicPrefix }}
- --topic-prefix
- {{ .Values.topicPrefix | quote }}
{{- end }}
{{- end }}

{{- define "loyalty.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "loyalty.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
