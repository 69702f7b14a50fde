{{/*
The sidecar in another chart's pod. That chart depends on this one, with shape: native-sidecar, and has

  initContainers:
    {{- include "prompt-sidecar.container" (index .Subcharts "prompt-sidecar") | nindent 8 }}
  volumes:
    {{- include "prompt-sidecar.volumes" (index .Subcharts "prompt-sidecar") | nindent 8 }}

in its pod, which needs 5 s for the sidecar's drain and 10 s to leave in its grace period.
*/}}
{{- define "prompt-sidecar.container" -}}
- name: sidecar
  image: {{ include "prompt-sidecar.image" . }}
  restartPolicy: Always
  env:
    - { name: SIDECAR_CONFIG, value: /etc/sidecar/sidecar.toml }
    - { name: SIDECAR_LOG__FORMAT, value: json }
    - { name: SIDECAR_SERVER__HOST, value: 127.0.0.1 }
    - { name: SIDECAR_SERVER__PORT, value: "8080" }
    - { name: SIDECAR_SERVER__DRAIN_SECONDS, value: "5" }
    - { name: SIDECAR_PROVIDER__API_KEY_FILE, value: /run/secrets/sidecar/provider-key }
    - { name: SIDECAR_STORE__KIND, value: sqlite }
    - { name: SIDECAR_STORE__PATH, value: /var/lib/sidecar/sidecar.db }
    - { name: SIDECAR_STORE__RETENTION_DAYS, value: "7" }
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # The application starts when this has passed once.
  startupProbe:
    exec: { command: [probe, /startupz] }
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 60
  # No readiness probe: it would only repeat the one above, since the application is gone
  # before the sidecar drains.
  livenessProbe:
    exec: { command: [probe, /livez] }
    periodSeconds: 20
    timeoutSeconds: 5
    failureThreshold: 3
  resources:
    {{- toYaml .Values.nativeResources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: { drop: [ALL] }
    seccompProfile: { type: RuntimeDefault }
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - { name: sidecar-config, mountPath: /etc/sidecar, readOnly: true }
    - { name: sidecar-secrets, mountPath: /run/secrets/sidecar, readOnly: true }
    - { name: sidecar-tmp, mountPath: /tmp }
    - { name: sidecar-state, mountPath: /var/lib/sidecar }
{{- end -}}

{{- define "prompt-sidecar.volumes" -}}
- name: sidecar-config
  configMap: { name: {{ include "prompt-sidecar.name" . }} }
- name: sidecar-secrets
  secret: { secretName: {{ .Values.secretName }} }
- name: sidecar-tmp
  emptyDir: { sizeLimit: 64Mi }
# Gone with the pod, see docs/kubernetes.md.
- name: sidecar-state
  emptyDir: { sizeLimit: 5Gi }
{{- end -}}
