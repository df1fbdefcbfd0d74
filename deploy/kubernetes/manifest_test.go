// Package kubernetes holds the manifests against Kubernetes' own types. It is a module of its own: nobody who builds eowriter needs
// those.
package kubernetes

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// If it fails, Kubernetes refuses the manifests, leaves out what it doesn't know, or runs a sidecar that loses its ledger.
func TestStatefulSet(t *testing.T) {
	text, err := os.ReadFile("statefulset.yaml")
	require.NoError(t, err)
	types := map[string]func() any{
		"ServiceAccount": func() any { return new(corev1.ServiceAccount) },
		"Service":        func() any { return new(corev1.Service) },
		"ConfigMap":      func() any { return new(corev1.ConfigMap) },
		"StatefulSet":    func() any { return new(appsv1.StatefulSet) },
	}
	found := map[string]any{}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal(doc, &kind))
		require.Contains(t, types, kind.Kind)
		object := types[kind.Kind]()
		require.NoError(t, yaml.UnmarshalStrict(doc, object), kind.Kind)
		found[kind.Kind] = object
	}
	require.Len(t, found, len(types))

	set := found["StatefulSet"].(*appsv1.StatefulSet)
	pod := set.Spec.Template
	require.Equal(t, set.Spec.Selector.MatchLabels, pod.Labels)
	require.Equal(t, found["Service"].(*corev1.Service).Spec.Selector, pod.Labels)
	require.Equal(t, found["Service"].(*corev1.Service).Name, set.Spec.ServiceName)
	require.Equal(t, found["ServiceAccount"].(*corev1.ServiceAccount).Name, pod.Spec.ServiceAccountName)
	require.Equal(t, appsv1.RetainPersistentVolumeClaimRetentionPolicyType, set.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted)

	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			require.Equal(t, found["ConfigMap"].(*corev1.ConfigMap).Name, v.ConfigMap.Name)
		}
	}
	require.Len(t, set.Spec.VolumeClaimTemplates, 1)
	claim := set.Spec.VolumeClaimTemplates[0]
	volumes[claim.Name] = true
	require.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}, claim.Spec.AccessModes, "two pods, one ledger")

	sidecar := pod.Spec.InitContainers[0]
	require.Equal(t, corev1.ContainerRestartPolicyAlways, *sidecar.RestartPolicy)
	require.NotNil(t, sidecar.StartupProbe, "the application would start before the sidecar")
	require.Equal(t, corev1.FSGroupChangeOnRootMismatch, *pod.Spec.SecurityContext.FSGroupChangePolicy, "Always opens the ledger to the group")
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], "%s mounts %s", c.Name, m.Name)
		}
		s := c.SecurityContext
		require.True(t, *s.ReadOnlyRootFilesystem && !*s.AllowPrivilegeEscalation && s.RunAsUser == nil, c.Name)
		require.Equal(t, []corev1.Capability{"ALL"}, s.Capabilities.Drop)
	}
}
