package vault_test

import (
	"regexp"
	"testing"

	"leasehold/internal/vault"
)

func TestHasher(t *testing.T) {
	one, other := vault.NewHasher(), vault.NewHasher()
	name := one.Of("accessor")
	switch {
	case !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(name):
		t.Errorf("a name is %q", name)
	case one.Of("accessor") != name:
		t.Error("the same text has two names")
	case one.Of("accessor2") == name:
		t.Error("two texts have the same name")
	case other.Of("accessor") == name:
		t.Error("the names of two Hashers are the same, so that guesses can be tried")
	case one.Of("") != "":
		t.Error("nothing has a name")
	}
}
