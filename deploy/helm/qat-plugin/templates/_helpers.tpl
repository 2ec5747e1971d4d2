{{/* The name of everything, and of what belongs to a group. */}}
{{- define "qat.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "qat" $name) }}{{ $name = printf "%s-qat-plugin" $name }}{{ end -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "qat.labels" -}}
app.kubernetes.io/name: qat-plugin
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "qat.selector" -}}
app.kubernetes.io/name: qat-plugin
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* An image: what is given, else that of the plugin. Arguments: the context, and the values of the image. */}}
{{- define "qat.image" -}}
{{- $top := index . 0 }}{{ $image := index . 1 -}}
{{- $repository := $image.repository | default $top.Values.image.repository -}}
{{- if not $image.repository }}{{ $image = $top.Values.image }}{{ end -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default $top.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The plugin runs as root, whose files the kubelet's are, and without a single capability. */}}
{{- define "qat.securityContext" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- with .Values.securityContext.seLinuxType }}
seLinuxOptions: { type: {{ . }} }
{{- end }}
{{- with .Values.securityContext.appArmorProfile }}
{{- if has . (list "RuntimeDefault" "Unconfined") }}
appArmorProfile: { type: {{ . }} }
{{- else }}
appArmorProfile: { type: Localhost, localhostProfile: {{ . }} }
{{- end }}
{{- end }}
{{- end -}}

{{/* The name of a group's objects. Arguments: the context, and the group. */}}
{{- define "qat.groupName" -}}
{{- $top := index . 0 }}{{ $group := index . 1 -}}
{{- include "qat.name" $top }}{{ with $group.name }}-{{ . }}{{ end -}}
{{- end -}}

{{/* What selects the plugin's pods of a group. Arguments: the context, and the group. */}}
{{- define "qat.groupSelector" -}}
{{- $top := index . 0 }}{{ $group := index . 1 -}}
{{- include "qat.selector" $top }}
qat-plugin/group: {{ $group.name | default "all" }}
{{- end -}}

{{- define "qat.kubelet" -}}
{{- $roots := dict "standard" "/var/lib/kubelet" "k0s" "/var/lib/k0s/kubelet" "microk8s" "/var/snap/microk8s/common/var/lib/kubelet" "k3s" "/var/lib/kubelet" "rke2" "/var/lib/kubelet" -}}
{{- .Values.kubelet.root | default (get $roots .Values.kubelet.distribution) | trimSuffix "/" -}}
{{- end -}}

{{/* What cannot be, said before anything is applied. */}}
{{- define "qat.check" -}}
{{- if not .Values.image.repository -}}
{{- fail "set image.repository: no image of qat-plugin is published yet; build one with deploy/container/build, and push or import it" -}}
{{- end -}}
{{- if and .Values.simulated.enabled (not .Values.simulated.repository) -}}
{{- fail "set simulated.repository: the image that writes the simulated node (deploy/container/build simulated)" -}}
{{- end -}}
{{- if and .Values.simulated.enabled .Values.provisioning.enabled -}}
{{- fail "simulated.enabled and provisioning.enabled: a simulated node has its VFs, and takes no commands; choose one" -}}
{{- end -}}
{{- if and .Values.provisioning.intelConfigMap (not .Values.provisioning.enabled) -}}
{{- fail "provisioning.intelConfigMap is set and provisioning.enabled is false, so nobody would read it" -}}
{{- end -}}
{{- if and .Values.provisioning.intelConfigMap (or .Values.config.provisioning) -}}
{{- fail "both config.provisioning and provisioning.intelConfigMap say what is wanted of PFs; choose one" -}}
{{- end -}}
{{- if and .Values.kubelet.root (ne .Values.kubelet.distribution "standard") -}}
{{- fail (printf "kubelet.root and kubelet.distribution %s both say where the kubelet keeps its files; choose one" .Values.kubelet.distribution) -}}
{{- end -}}
{{- $configs := list .Values.config -}}
{{- range .Values.nodeGroups }}{{ if .config }}{{ $configs = append $configs .config }}{{ end }}{{ end -}}
{{- range $config := $configs -}}
{{- if and .provisioning (not $.Values.provisioning.enabled) -}}
{{- fail "config.provisioning requires provisioning.enabled=true: without its init container nothing reads it" -}}
{{- end -}}
{{- $allField := false -}}
{{- range .pools }}{{ if and (eq (default "" .cdi) "field") (not .pool) (not .select) }}{{ $allField = true }}{{ end }}{{ end -}}
{{- range $number, $rule := .pools -}}
{{- $rule = default dict $rule -}}
{{- if and $rule.name (not $rule.pool) (not $rule.select) -}}
{{- fail (printf "config.pools[%d] renames no pool and selects no VFs for `%s`; add `pool` or `select`" $number $rule.name) -}}
{{- end -}}
{{- if and $rule.select (not $rule.name) -}}
{{- fail (printf "config.pools[%d] selects VFs for a pool without a name; add `name`" $number) -}}
{{- end -}}
{{- if and $rule.select $rule.pool -}}
{{- fail (printf "config.pools[%d]: pool and select conflict; remove one" $number) -}}
{{- end -}}
{{- if and $rule.owner (ne (default (ternary "field" "" $allField) $rule.cdi) "field") -}}
{{- fail (printf "config.pools[%d].owner requires `cdi: field`, because only CDI can set the owner of a device node" $number) -}}
{{- end -}}
{{- end -}}
{{- range .pools -}}
{{- if and (has .cdi (list "spec" "field")) (not $.Values.cdi) -}}
{{- fail (printf "a pool has cdi: %s, and cdi is false, so the host's directory for CDI files is not mounted; set cdi: true" .cdi) -}}
{{- end -}}
{{- end -}}
{{- if and .admin .admin.listen -}}
{{- fail "config.admin.listen would be overruled, as probes are at admin.port; leave it out" -}}
{{- end -}}
{{- end -}}
{{- range $configs -}}
{{- if and .offer (hasKey .offer "manageBinding") -}}
{{- fail "config.offer.manageBinding would be overruled by binding, which also decides how /sys is mounted; leave it out" -}}
{{- end -}}
{{- end -}}
{{- $names := dict -}}
{{- range .Values.nodeGroups -}}
{{- if hasKey $names .name }}{{ fail (printf "two nodeGroups are called %s; names are part of names of DaemonSets" .name) }}{{ end -}}
{{- $_ := set $names .name true -}}
{{- if not .nodeSelector -}}
{{- fail (printf "nodeGroup %s has no nodeSelector, so its plugin would run beside that of another group; only one may serve a node" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
