//go:build tools

// Package cluster names the programs of the test cluster, so that go.mod and go.sum hold what they need.
package cluster

import (
	_ "k8s.io/kubernetes/cmd/kubelet"
)
