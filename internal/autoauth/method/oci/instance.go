package oci

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"leasehold/internal/autoauth/cloud"
)

const margin = 5 * time.Minute // a security token with less left is replaced before it is used

// InstanceOptions tune an Instance.
type InstanceOptions struct {
	Metadata  string            // address of the metadata service; default http://169.254.169.254/opc/v2
	Auth      string            // address of Oracle's authentication service, with https:// unless it says otherwise; default: that of the machine's region
	Transport http.RoundTripper // of requests to both; default: one that sends none to the metadata service through a proxy
	Now       func() time.Time  // default time.Now
}

// Instance is the machine it runs on, as an instance principal: it holds a certificate, in exchange for which the authentication service gives a security
// token for a key that is made here. The SDK can do so too, but not within a context, and its errors quote tokens.
type Instance struct {
	opts InstanceOptions
	turn chan struct{} // capacity 1: whoever has put something in may look at the rest and replace it

	current identity
	expires time.Time
}

// NewInstance makes the source; nothing is asked yet.
func NewInstance(o InstanceOptions) *Instance {
	if o.Metadata == "" {
		o.Metadata = "http://169.254.169.254/opc/v2"
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: cloud.Proxy, DisableKeepAlives: true}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Instance{opts: o, turn: make(chan struct{}, 1)}
}

func (i *Instance) who() string { return "this instance" }

// identity returns the key of the current security token, if it will do for a while, or obtains another.
func (i *Instance) identity(ctx context.Context) (identity, error) {
	select {
	case i.turn <- struct{}{}:
	case <-ctx.Done():
		return identity{}, ctx.Err()
	}
	defer func() { <-i.turn }()
	if i.current.key != nil && i.expires.Sub(i.opts.Now()) > margin {
		return i.current, nil
	}
	who, expires, err := i.obtain(ctx)
	if err != nil {
		return identity{}, fmt.Errorf("log in as an instance of OCI: %w; run Leasehold on an instance that belongs to a dynamic group, or set type to \"apikey\"", err)
	}
	i.current, i.expires = who, expires
	return who, nil
}

// obtain exchanges the machine's certificate for a token.
func (i *Instance) obtain(ctx context.Context) (identity, time.Time, error) {
	m, err := i.machine(ctx)
	if err != nil {
		return identity{}, time.Time{}, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return identity{}, time.Time{}, err
	}
	token, err := i.exchange(ctx, m, key)
	if err != nil {
		return identity{}, time.Time{}, err
	}
	expires, ok := expiry(token)
	if !ok {
		return identity{}, time.Time{}, errors.New("the answer of the authentication service is no token")
	}
	return identity{id: "ST$" + token, key: key}, expires, nil
}

// machine is what the metadata service knows of the machine.
type machine struct {
	region       string
	identity     identity // of the certificate
	certificate  []byte   // DER
	intermediate []byte   // DER
}

func (i *Instance) machine(ctx context.Context) (machine, error) {
	var answers [4][]byte
	for n, path := range []string{"/instance/region", "/identity/cert.pem", "/identity/key.pem", "/identity/intermediate.pem"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.opts.Metadata+path, nil)
		if err != nil {
			return machine{}, err
		}
		r.Header.Set("Authorization", "Bearer Oracle")
		if answers[n], err = cloud.Send(cloud.Straight(i.opts.Transport), r); err != nil {
			return machine{}, err
		}
	}
	leaf, intermediate := decode(answers[1]), decode(answers[3])
	cert, err := x509.ParseCertificate(leaf)
	if err != nil || intermediate == nil {
		return machine{}, errors.New("the metadata service's answer is no certificate")
	}
	key, err := common.PrivateKeyFromBytes(answers[2], nil)
	if err != nil || key == nil {
		return machine{}, errors.New("the metadata service's answer is no RSA key")
	}
	tenancy := tenancyOf(cert)
	if tenancy == "" {
		return machine{}, errors.New("the certificate of this machine names no tenancy")
	}
	return machine{
		region:       strings.TrimSpace(string(answers[0])),
		identity:     identity{id: tenancy + "/fed-x509-sha256/" + fingerprint(leaf), key: key},
		certificate:  leaf,
		intermediate: intermediate,
	}, nil
}

// exchange asks the authentication service for a token for key.
func (i *Instance) exchange(ctx context.Context, m machine, key *rsa.PrivateKey) (string, error) {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{
		"certificate":              base64.StdEncoding.EncodeToString(m.certificate),
		"intermediateCertificates": []string{base64.StdEncoding.EncodeToString(m.intermediate)},
		"publicKey":                base64.StdEncoding.EncodeToString(public),
		"fingerprintAlgorithm":     "SHA256",
	})
	if err != nil {
		return "", err
	}
	address := i.opts.Auth
	if address == "" {
		address = common.StringToRegion(m.region).Endpoint("auth")
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/x509", bytes.NewReader(body))
	if err != nil {
		return "", errors.New("the metadata service's answer is no region")
	}
	r.Header.Set("Date", i.opts.Now().UTC().Format(http.TimeFormat))
	r.Header.Set("Content-Type", "application/json")
	// The service is the one that does not want its host signed.
	signer := common.RequestSigner(m.identity, []string{"date", "(request-target)"}, common.DefaultBodyHeaders())
	if err := signer.Sign(r); err != nil {
		return "", fmt.Errorf("sign the request: %w", err)
	}
	answer, err := cloud.Send(cloud.Straight(i.opts.Transport), r)
	if err != nil {
		return "", err
	}
	var token struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(answer, &token) != nil {
		return "", errors.New("the answer of the authentication service is no token")
	}
	return token.Token, nil
}

// expiry is the end of a token, which is a JWT; its signature is for Oracle to verify.
func expiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Expires), 0), true
}

// decode is the content of PEM; nil if it is none.
func decode(text []byte) []byte {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	return block.Bytes
}

// tenancyOf is the tenancy that a certificate of a machine was issued in.
func tenancyOf(cert *x509.Certificate) string {
	for _, name := range cert.Subject.Names {
		if s, ok := name.Value.(string); ok {
			if tenancy, ok := strings.CutPrefix(s, "opc-tenant:"); ok {
				return tenancy
			}
		}
	}
	return ""
}

// fingerprint is that of a certificate, as openssl writes it, but in small letters.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% x", sum[:]), " ", ":")
}
