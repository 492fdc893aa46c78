package kubernetes_test

import (
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/kubernetes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ autoauth.Method  = (*kubernetes.Method)(nil)
	_ autoauth.Watcher = (*kubernetes.Method)(nil)
)
