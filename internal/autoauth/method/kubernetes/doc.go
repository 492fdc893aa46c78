// Package kubernetes logs in with the service account token that Kubernetes mounts into a pod.
package kubernetes
