package kerberos_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"

	"leasehold/internal/autoauth/method/kerberos"
)

// keysIn are texts that no error may hold.
func keysIn(kt *keytab.Keytab) (keys [][]byte) {
	for _, e := range kt.Entries {
		keys = append(keys, e.Key.KeyValue)
	}
	return keys
}

func noKeyIn(t *testing.T, err error, kt *keytab.Keytab) {
	t.Helper()
	for _, key := range keysIn(kt) {
		if err != nil && bytes.Contains([]byte(err.Error()), key[:8]) {
			t.Errorf("a key is in the error %q", err)
		}
	}
}

// Every fault of the files is found before anyone is asked, and names the file.
func TestFiles(t *testing.T) {
	put := func(path string, content []byte) { _ = os.WriteFile(path, content, 0o600) }
	for name, tc := range map[string]struct {
		spoil  func(kt, conf string)
		lines  string
		want   string
		remedy string
	}{
		"no keytab":           {func(kt, _ string) { os.Remove(kt) }, "", "read the keytab: stat ", "; write it to KEYTAB"},
		"a directory":         {func(kt, _ string) { os.Remove(kt); os.Mkdir(kt, 0o700) }, "", "read the keytab: not a regular file", "; write it to KEYTAB"},
		"a huge keytab":       {func(kt, _ string) { os.Truncate(kt, 2<<20) }, "", "larger than 1024 KiB", "; write it to KEYTAB"},
		"an empty keytab":     {func(kt, _ string) { put(kt, nil) }, "", "damaged", "; write a new one to KEYTAB"},
		"no keytab but text":  {func(kt, _ string) { put(kt, []byte("password")) }, "", "damaged", "; write a new one to KEYTAB"},
		"a keytab of others":  {func(kt, _ string) { b, _ := newKeytab(t, "other", "x", 1, aes256).Marshal(); put(kt, b) }, "", "no key of app@" + realm, "correct username or realm"},
		"types not allowed":   {nil, "default_tkt_enctypes = camellia256-cts-cmac", "default_tkt_enctypes does not allow", "or correct CONF"},
		"no krb5.conf":        {func(_, conf string) { os.Remove(conf) }, "", "read krb5.conf: stat ", "; write it to CONF"},
		"a damaged krb5.conf": {nil, "dns_lookup_kdc = perhaps", "read krb5.conf: ", "; correct CONF"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := newKeytab(t, "app", password, 3, aes256)
			kt, conf := files(t, keys, "127.0.0.1:1", tc.lines)
			if tc.spoil != nil {
				tc.spoil(kt, conf)
			}
			v := &recorder{}
			m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
			_, err := m.Login(context.Background(), newClient(t, v))
			remedy := strings.NewReplacer("KEYTAB", kt, "CONF", conf).Replace(tc.remedy)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasSuffix(err.Error(), remedy) {
				t.Errorf("Login = %v, want %q and %q", err, tc.want, remedy)
			}
			noKeyIn(t, err, keys)
			if v.path != "" {
				t.Errorf("Vault was asked for all that: %s", v.path)
			}
		})
	}
}

// Wherever a keytab ends: no panic, and no key in the error. The library quotes the file in its own.
func TestCutKeytabs(t *testing.T) {
	keys := newKeytab(t, "app", password, 3, aes256, aes128)
	kt, conf := files(t, keys, "127.0.0.1:1")
	whole, err := os.ReadFile(kt)
	if err != nil {
		t.Fatal(err)
	}
	m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
	for n := range len(whole) {
		if err := os.WriteFile(kt, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := m.Login(context.Background(), newClient(t, &recorder{}))
		if err == nil {
			t.Errorf("a login with %d bytes of a keytab", n)
		}
		noKeyIn(t, err, keys)
	}
}

// What Kerberos 4 needs stands in many an old krb5.conf.
func TestOldKrb5Conf(t *testing.T) {
	k := startKDC(t, "app", aes256)
	kt, conf := files(t, newKeytab(t, "app", password, 3, aes256), k.address)
	b, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("kdc ="), []byte("v4_instance_convert = {\n   mit = mit.edu\n  }\n  kdc ="), 1)
	if err := os.WriteFile(conf, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
	if _, err := m.Login(context.Background(), newClient(t, &recorder{})); err != nil {
		t.Error(err)
	}
}

func TestKDCSaysNo(t *testing.T) {
	always := func(answer []byte) func([]byte) []byte { return func([]byte) []byte { return answer } }
	for name, tc := range map[string]struct {
		spoil    func([]byte) []byte
		password string
		service  string
		want     string
		remedy   string
	}{
		"other password":        {nil, "an-old-one", service, "the KDC answered (24) KDC_ERR_PREAUTH_FAILED", "write a keytab with the principal's current key to KEYTAB"},
		"unknown service":       {nil, password, "HTTP/other", "KDC_ERR_S_PRINCIPAL_UNKNOWN", "check service: the KDC does not know that principal"},
		"unknown principal":     {always(refusal(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, nil)), password, service, "KDC_ERR_C_PRINCIPAL_UNKNOWN", "lets the principal log in"},
		"locked principal":      {always(refusal(errorcode.KDC_ERR_CLIENT_REVOKED, nil)), password, service, "the KDC answered (18) KDC_ERR_CLIENT_REVOKED", "lets the principal log in"},
		"other time":            {always(refusal(errorcode.KRB_AP_ERR_SKEW, nil)), password, service, "KRB_AP_ERR_SKEW", "set the clock of this machine or of the KDC right"},
		"no common type":        {always(refusal(errorcode.KDC_ERR_ETYPE_NOSUPP, nil)), password, service, "KDC_ERR_ETYPE_NOSUPP", "of a type that the KDC supports to KEYTAB"},
		"an error of its own":   {always(refusal(errorcode.KRB_ERR_GENERIC, nil)), password, service, "KRB_ERR_GENERIC", "see the KDC's log"},
		"not Kerberos":          {always([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), password, service, "", "check that a KDC of the realm runs where CONF says"},
		"nothing":               {always([]byte{}), password, service, "", "check that a KDC of the realm runs where CONF says"},
		"a list without member": {always(refusal(errorcode.KDC_ERR_PREAUTH_REQUIRED, types.ETypeInfo2{})), password, service, "malformed", "check that a KDC of the realm runs where CONF says"},
	} {
		t.Run(name, func(t *testing.T) {
			k := startKDC(t, "app", aes256)
			k.spoil = tc.spoil
			keys := newKeytab(t, "app", tc.password, 3, aes256)
			kt, conf := files(t, keys, k.address)
			v := &recorder{}
			m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, tc.service, conf, kerberos.Options{})
			_, err := m.Login(context.Background(), newClient(t, v))
			begin := "get a ticket of app@" + realm + " for " + tc.service + ": "
			remedy := "; " + strings.NewReplacer("KEYTAB", kt, "CONF", conf).Replace(tc.remedy)
			if err == nil || !strings.HasPrefix(err.Error(), begin) || !strings.Contains(err.Error(), tc.want) || !strings.HasSuffix(err.Error(), remedy[2:]) {
				t.Errorf("Login = %v\nwant %s ... %s ...%s", err, begin, tc.want, remedy)
			}
			noKeyIn(t, err, keys)
			if v.path != "" {
				t.Errorf("Vault was asked for all that: %s", v.path)
			}
		})
	}
}

func TestNoKDC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	kt, conf := files(t, newKeytab(t, "app", password, 3, aes256), ln.Addr().String())
	m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
	if _, err = m.Login(context.Background(), newClient(t, &recorder{})); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) || !strings.Contains(err.Error(), "KDC of the realm runs") {
		t.Errorf("Login = %v, want that nobody answers at %s", err, ln.Addr())
	}
	m = kerberos.New(kerberos.Principal{Username: "app", Realm: "OTHER.TEST", Keytab: kt}, service, conf, kerberos.Options{})
	if _, err = m.Login(context.Background(), newClient(t, &recorder{})); err == nil || !strings.Contains(err.Error(), "no key of app@OTHER.TEST") {
		t.Errorf("Login = %v", err)
	}
}

// A KDC that does not answer holds nobody up, and gets no second question while the first one waits.
func TestSilentKDC(t *testing.T) {
	k := startKDC(t, "app", aes256)
	k.spoil = func([]byte) []byte { return nil }
	kt, conf := files(t, newKeytab(t, "app", password, 3, aes256), k.address)
	p := kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}
	v := &recorder{}

	m := kerberos.New(p, service, conf, kerberos.Options{Timeout: 300 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := m.Login(ctx, newClient(t, v))
		failed <- err
	}()
	eventually(t, "the KDC is asked", func() bool { return k.asked.Load() == 1 })
	cancel()
	if err := <-failed; err == nil { // by the cancellation, or on a slow machine by the timeout
		t.Error("a login without a ticket")
	}
	if _, err := m.Login(ctx, newClient(t, v)); !errors.Is(err, context.Canceled) {
		t.Errorf("Login = %v, want that it was cancelled", err)
	}
	_, err := m.Login(context.Background(), newClient(t, v))
	if err == nil || !strings.Contains(err.Error(), "no answer within 300ms; check that a KDC") {
		t.Errorf("Login = %v, want that the KDC is too slow", err)
	}
	if n := k.asked.Load(); n != 1 {
		t.Errorf("the KDC was asked %d times, want once", n)
	}
	if v.path != "" {
		t.Errorf("Vault was asked for all that: %s", v.path)
	}
}

// eventually waits until cond is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("still not: %s", what)
		case <-again.C:
		}
	}
}
