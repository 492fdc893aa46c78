package alicloud

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	exchange = 10 * time.Second // one request with its answer
	maxBody  = 1 << 20          // far above any answer that is one
)

// viaProxy reaches STS as the environment says. Nobody has reason to redirect what is signed for one host.
var viaProxy = &http.Client{
	Timeout:       exchange,
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// assumeRole exchanges access keys for a session of the role.
func assumeRole(ctx context.Context, sts string, c Credentials) (keys, error) {
	query := keys{id: c.AccessKey, secret: c.AccessSecret, token: c.AccessToken}.sign(map[string]string{
		"Action":          "AssumeRole",
		"RoleArn":         c.RoleARN,
		"RoleSessionName": c.RoleSessionName,
		"DurationSeconds": seconds(c.RoleSessionExpiration),
	})
	var answer struct {
		Credentials granted
	}
	if err := post(ctx, sts+"/?"+query, &answer); err != nil {
		return keys{}, fmt.Errorf("assume the role: %w", err)
	}
	return answer.Credentials.keys()
}

// pairSession exchanges a signature with an RSA key for a session.
func pairSession(ctx context.Context, sts string, c Credentials, key *rsa.PrivateKey) (keys, error) {
	var failed error
	query := signed(c.PublicKeyID, map[string]string{
		"Action":          "GenerateSessionAccessKey",
		"PublicKeyId":     c.PublicKeyID,
		"DurationSeconds": seconds(c.SessionExpiration),
		"SignatureMethod": "SHA256withRSA",
		"SignatureType":   "PRIVATEKEY",
	}, func(s string) string {
		hash := sha256.Sum256([]byte(s))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
		failed = err
		return base64.StdEncoding.EncodeToString(signature)
	})
	if failed != nil {
		return keys{}, fmt.Errorf("sign with the private key: %w", failed)
	}
	var answer struct {
		SessionAccessKey struct {
			SessionAccessKeyID     string `json:"SessionAccessKeyId"`
			SessionAccessKeySecret string
			Expiration             time.Time
		}
	}
	if err := post(ctx, sts+"/?"+query, &answer); err != nil {
		return keys{}, fmt.Errorf("use the key pair: %w", err)
	}
	s := answer.SessionAccessKey
	if s.SessionAccessKeyID == "" || s.SessionAccessKeySecret == "" {
		return keys{}, errors.New("use the key pair: the answer has no keys")
	}
	return keys{id: s.SessionAccessKeyID, secret: s.SessionAccessKeySecret, expires: s.Expiration}, nil
}

func parsePrivateKey(text string) (*rsa.PrivateKey, error) {
	refused := errors.New("the private key of the AliCloud key pair is not one; set private_key to an RSA key in PKCS #8, as PEM or base64")
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, refused
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, refused
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, refused
	}
	return key, nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// granted is how STS and the metadata write a session.
type granted struct {
	AccessKeyID     string `json:"AccessKeyId"`
	AccessKeySecret string
	SecurityToken   string
	Expiration      time.Time
}

func (g granted) keys() (keys, error) {
	if g.AccessKeyID == "" || g.AccessKeySecret == "" || g.SecurityToken == "" {
		return keys{}, errors.New("the answer has no keys")
	}
	return keys{id: g.AccessKeyID, secret: g.AccessKeySecret, token: g.SecurityToken, expires: g.Expiration}, nil
}

// post asks STS. Of an error it keeps the code: the message may repeat what was signed, and with it a token.
func post(ctx context.Context, url string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return errors.New("the address of STS is not one")
	}
	status, body, err := exchangeWith(viaProxy, r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var refusal struct{ Code string }
		if json.Unmarshal(body, &refusal) != nil || refusal.Code == "" {
			return fmt.Errorf("STS answers with status %d", status)
		}
		return fmt.Errorf("STS answers %q", clip(refusal.Code))
	}
	if json.Unmarshal(body, into) != nil {
		return errors.New("STS answers with what is no JSON")
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 64)] }

// exchangeWith leaves the query out of errors: it holds tokens.
func exchangeWith(c *http.Client, r *http.Request) (status int, body []byte, err error) {
	host := r.URL.Host
	answer, err := c.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", host, bare(err))
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(http.MaxBytesReader(nil, answer.Body, maxBody)); err != nil {
		return 0, nil, fmt.Errorf("read what %s answers: %w", host, err)
	}
	return answer.StatusCode, body, nil
}
