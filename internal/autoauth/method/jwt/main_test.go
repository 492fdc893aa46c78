package jwt_test

import (
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ autoauth.Method  = (*jwt.Method)(nil)
	_ autoauth.Watcher = (*jwt.Method)(nil)
)
