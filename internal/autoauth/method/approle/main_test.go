package approle_test

import (
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/approle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ autoauth.Method  = (*approle.Method)(nil)
	_ autoauth.Watcher = (*approle.Method)(nil)
)
