package cert_test

import (
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/cert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ autoauth.Method  = (*cert.Method)(nil)
	_ autoauth.Watcher = (*cert.Method)(nil)
)
