package oci_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"

	"leasehold/internal/autoauth/method/oci"
)

// oracle stands in for the metadata service of an instance, and for the authentication service of its region.
type oracle struct {
	t        *testing.T
	cert     []byte // DER
	life     time.Duration
	tokens   int
	sessions map[string]*rsa.PublicKey // by token
	bodies   []map[string]any          // of requests for a token
	faults   map[string]page           // by path
	stall    func()                    // before an answer
}

// page is an answer of the stand-in.
type page struct {
	status int
	body   string
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	return &oracle{t: t, cert: certificate(t, "opc-tenant:tenancy-1"), life: time.Hour, sessions: map[string]*rsa.PublicKey{}, faults: map[string]page{}}
}

// certificate is what an instance has, with key 0.
func certificate(t *testing.T, unit string) []byte {
	t.Helper()
	key := keys()[0]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "instance-1"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "opc-instance:instance-1"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: unit},
	}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (o *oracle) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.stall != nil {
		o.stall()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if p, ok := o.faults[r.URL.Path]; ok {
		return answer(r, p.status, p.body), nil
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.cert}))
	const metadata = "GET http://169.254.169.254/opc/v2/"
	asked := r.Method + " " + r.URL.String()
	if strings.HasPrefix(asked, metadata) && r.Header.Get("Authorization") != "Bearer Oracle" {
		return answer(r, http.StatusUnauthorized, ""), nil
	}
	switch asked {
	case metadata + "instance/region":
		return answer(r, 200, "iad"), nil
	case metadata + "identity/cert.pem", metadata + "identity/intermediate.pem":
		return answer(r, 200, certificate), nil
	case metadata + "identity/key.pem":
		return answer(r, 200, pkcs1(keys()[0])), nil
	case "POST https://auth.us-ashburn-1.oraclecloud.com/v1/x509":
		return answer(r, 200, o.federate(r)), nil
	}
	o.t.Errorf("asked for %s", asked)
	return answer(r, http.StatusNotFound, ""), nil
}

// federate verifies a request for a token and returns one.
func (o *oracle) federate(r *http.Request) string {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Error(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		o.t.Error(err)
	}
	o.bodies = append(o.bodies, body)
	sum := sha256.Sum256(text)
	if got := r.Header.Get("X-Content-Sha256"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		o.t.Errorf("the body's sum is %s", got)
	}
	h := r.Header.Clone()
	h["(request-target)"] = []string{"post " + r.URL.RequestURI()}
	signer := verify(o.t, h, "date (request-target) content-length content-type x-content-sha256", &keys()[0].PublicKey)
	if print := sha256.Sum256(o.cert); signer != "tenancy-1/fed-x509-sha256/"+strings.ReplaceAll(fmt.Sprintf("% x", print), " ", ":") {
		o.t.Errorf("signed as %s", signer)
	}
	der, err := base64.StdEncoding.DecodeString(fmt.Sprint(body["publicKey"]))
	if err != nil {
		o.t.Error(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		o.t.Fatal(err)
	}
	o.tokens++
	claims := fmt.Sprintf(`{"jti":"%d","exp":%d}`, o.tokens, now.Add(o.life).Unix())
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	o.sessions[token] = public.(*rsa.PublicKey)
	return `{"token":"` + token + `"}`
}

// check verifies the headers of a login with the key of the token in them, and returns the token.
func (o *oracle) check(h http.Header) (token string) {
	o.t.Helper()
	parts := authorization.FindStringSubmatch(h.Get("Authorization"))
	if parts == nil {
		o.t.Fatalf("Authorization is %q", h.Get("Authorization"))
	}
	token, ok := strings.CutPrefix(parts[2], "ST$")
	if !ok || o.sessions[token] == nil {
		o.t.Fatalf("signed as %s", parts[2])
	}
	verify(o.t, h, "date (request-target) host", o.sessions[token])
	return token
}

func TestInstance(t *testing.T) {
	o, v := newOracle(t), &recorder{}
	at := now
	m := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o, Now: func() time.Time { return at }}), oci.Options{Now: clock})
	login := func() string {
		t.Helper()
		if _, err := m.Login(t.Context(), client(t, v)); err != nil {
			t.Fatal(err)
		}
		return o.check(v.headers)
	}
	first := login()
	at = now.Add(54 * time.Minute)
	if login() != first || o.tokens != 1 {
		t.Errorf("asked for %d tokens while the first is good", o.tokens)
	}
	at = now.Add(56 * time.Minute)
	if login() == first || o.tokens != 2 {
		t.Errorf("went on with a token that is about to end, of %d", o.tokens)
	}
}

func TestAnotherTokenDiffers(t *testing.T) {
	o := newOracle(t)
	at := now
	m := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o, Now: func() time.Time { return at }}), oci.Options{})
	if _, err := m.Login(t.Context(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	if oci.Differs(t.Context(), m) {
		t.Error("the token that was used differs from itself")
	}
	at = now.Add(2 * time.Hour)
	o.faults["/v1/x509"] = page{503, ""}
	if oci.Differs(t.Context(), m) {
		t.Error("no token differs")
	}
	delete(o.faults, "/v1/x509")
	if !oci.Differs(t.Context(), m) {
		t.Error("another token does not differ")
	}
}

func TestInstanceFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		page page
		says string
	}{
		"not Oracle's":         {"/opc/v2/instance/region", page{404, "hush"}, "169.254.169.254 is 404 Not Found"},
		"a redirect":           {"/opc/v2/instance/region", page{302, ""}, "302 Found"},
		"a page for a region":  {"/opc/v2/instance/region", page{200, "<html> hush"}, "no region"},
		"no certificate":       {"/opc/v2/identity/cert.pem", page{200, "hush"}, "no certificate"},
		"no intermediate":      {"/opc/v2/identity/intermediate.pem", page{200, ""}, "no certificate"},
		"no key":               {"/opc/v2/identity/key.pem", page{200, "hush"}, "no RSA key"},
		"endless":              {"/opc/v2/identity/key.pem", page{200, strings.Repeat("hush", 1<<20)}, "longer than 1024 KiB"},
		"refused":              {"/v1/x509", page{401, "hush"}, "auth.us-ashburn-1.oraclecloud.com is 401 Unauthorized"},
		"down":                 {"/v1/x509", page{503, "hush"}, "503 Service Unavailable"},
		"no JSON":              {"/v1/x509", page{200, "hush"}, "no token"},
		"nothing":              {"/v1/x509", page{200, ""}, "no token"},
		"no JWT":               {"/v1/x509", page{200, `{"token":"hush"}`}, "no token"},
		"a JWT without an end": {"/v1/x509", page{200, `{"token":"e30.e30.hush"}`}, "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			o, v := newOracle(t), &recorder{}
			o.faults[tc.path] = tc.page
			_, err := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o, Now: clock}), oci.Options{}).Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "; run Leasehold on an instance") || strings.Contains(err.Error(), "hush") {
				t.Errorf("Login = %v, want %q, a remedy, and nothing of the answer", err, tc.says)
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
		})
	}
}

func TestACertificateWithoutTenancy(t *testing.T) {
	o := newOracle(t)
	o.cert = certificate(t, "opc-compartment:x")
	_, err := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o}), oci.Options{}).Login(t.Context(), client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "names no tenancy") {
		t.Errorf("Login = %v", err)
	}
}

func TestCancelledInstance(t *testing.T) {
	for name, requests := range map[string]int{"at the metadata": 1, "at the token": 5} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o, v := newOracle(t), &recorder{}
			n := 0
			o.stall = func() {
				if n++; n == requests {
					cancel()
				}
			}
			_, err := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o}), oci.Options{}).Login(ctx, client(t, v))
			if err == nil || !strings.Contains(err.Error(), "context canceled") || v.path != "" || n != requests {
				t.Errorf("Login = %v after %d requests, and asked %q", err, n, v.path)
			}
		})
	}
}

func TestALoginDoesNotWaitForAnotherBeyondItsContext(t *testing.T) {
	o := newOracle(t)
	reached, release := make(chan struct{}), make(chan struct{})
	n := 0
	o.stall = func() {
		if n++; n == 1 {
			close(reached)
			<-release
		}
	}
	m := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: o, Now: clock}), oci.Options{})
	ended := make(chan bool)
	go func() { ended <- oci.Differs(context.Background(), m) }()
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Login(ctx, client(t, &recorder{})); err == nil {
		t.Error("logged in with a context that was over")
	}
	close(release)
	<-ended
}

// TestTheSDKAsksTheSame holds our exchange against that of Oracle's own library.
func TestTheSDKAsksTheSame(t *testing.T) {
	ours, theirs := newOracle(t), newOracle(t)
	theirs.cert = ours.cert
	if _, err := oci.New("web", oci.NewInstance(oci.InstanceOptions{Transport: ours, Now: clock}), oci.Options{}).Login(t.Context(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCI_METADATA_BASE_URL", "")
	provider, err := auth.InstancePrincipalConfigurationProviderWithCustomClient(func(common.HTTPRequestDispatcher) (common.HTTPRequestDispatcher, error) {
		return &http.Client{Transport: theirs}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := provider.KeyID(); err != nil || !strings.HasPrefix(id, "ST$") {
		t.Fatalf("KeyID = %s, %v", id, err)
	}
	if len(ours.bodies) != 1 || len(theirs.bodies) != 1 {
		t.Fatalf("%d of ours, %d of theirs", len(ours.bodies), len(theirs.bodies))
	}
	a, b := ours.bodies[0], theirs.bodies[0]
	if fmt.Sprint(a["publicKey"]) == fmt.Sprint(b["publicKey"]) {
		t.Error("the same key twice")
	}
	delete(a, "publicKey")
	delete(b, "publicKey")
	if !reflect.DeepEqual(a, b) {
		t.Errorf("we send %v, the SDK %v", a, b)
	}
}
