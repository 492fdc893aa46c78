package tokenfile_test

import (
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/tokenfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ autoauth.Method  = (*tokenfile.Method)(nil)
	_ autoauth.Watcher = (*tokenfile.Method)(nil)
)
