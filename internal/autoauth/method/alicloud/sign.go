package alicloud

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// keys are what requests are signed with.
type keys struct {
	id, secret, token string
	expires           time.Time // zero: not known
}

func (k keys) current(context.Context) (keys, error) { return k, nil }

// sign returns the query of a POST of these parameters to STS, signed in version 1.0 of Alibaba Cloud's RPC signature. The algorithm is theirs, and the one
// that Vault knows.
func (k keys) sign(params map[string]string) string {
	if k.token != "" {
		params["SecurityToken"] = k.token
	}
	params["SignatureMethod"] = "HMAC-SHA1"
	return signed(k.id, params, func(s string) string {
		h := hmac.New(sha1.New, []byte(k.secret+"&"))
		h.Write([]byte(s))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	})
}

func signed(id string, params map[string]string, sign func(string) string) string {
	query := url.Values{
		"AccessKeyId":      {id},
		"Format":           {"JSON"},
		"SignatureNonce":   {rand.Text()},
		"SignatureVersion": {"1.0"},
		"Timestamp":        {time.Now().UTC().Format("2006-01-02T15:04:05Z")},
		"Version":          {"2015-04-01"},
	}
	for name, value := range params {
		query.Set(name, value)
	}
	query.Set("Signature", sign("POST&%2F&"+escape(encode(query))))
	return encode(query)
}

// encode sorts by name, as the signature wants it, and writes a space as %20.
func encode(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
