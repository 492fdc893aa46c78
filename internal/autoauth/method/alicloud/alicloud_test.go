package alicloud_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth/method/alicloud"
)

const dead = "http://127.0.0.1:1" // nobody listens there

// keys are awkward to encode.
func keys() alicloud.Options {
	return alicloud.Options{MetadataURL: dead, STSURL: dead, Credentials: alicloud.Credentials{AccessKey: "LTAI 1*~", AccessSecret: "s3cr3t+/="}}
}

func TestTheRequestToSTSIsSigned(t *testing.T) {
	for name, token := range map[string]string{"keys": "", "session": "CAIS+to/ken== *~"} {
		t.Run(name, func(t *testing.T) {
			nowhere(t)
			o := keys()
			o.Credentials.AccessToken = token
			v := login(t, open(t, o))
			u, header := request(t, v)
			if v.path != "PUT /v1/auth/alicloud/login" {
				t.Errorf("sent %s", v.path)
			}
			if u.Scheme != "https" || u.Host != "sts.eu-central-1.aliyuncs.com" || u.Path != "/" {
				t.Errorf("the request goes to %s", u)
			}
			query := u.Query()
			want := map[string]string{
				"Action": "GetCallerIdentity", "Version": "2015-04-01", "Format": "JSON", "RegionId": "eu-central-1", // Vault insists on these
				"AccessKeyId": "LTAI 1*~", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
			}
			if token != "" {
				want["SecurityToken"] = token
			}
			for name, value := range want {
				if query.Get(name) != value {
					t.Errorf("%s is %q, want %q", name, query.Get(name), value)
				}
			}
			names := append(slices.Collect(maps.Keys(want)), "Signature", "SignatureNonce", "Timestamp")
			slices.Sort(names)
			if got := slices.Sorted(maps.Keys(query)); !slices.Equal(got, names) {
				t.Errorf("the parameters are %v, want %v", got, names)
			}
			if at, err := time.Parse("2006-01-02T15:04:05Z", query.Get("Timestamp")); err != nil || time.Since(at).Abs() > time.Hour {
				t.Errorf("the time is %s (%v)", query.Get("Timestamp"), err)
			}
			if !correct(query, "s3cr3t+/=") {
				t.Errorf("the signature of %s is wrong", u)
			}
			if len(header) == 0 {
				t.Error("Vault refuses a login without headers")
			}
			if strings.Contains(u.String(), "s3cr3t") {
				t.Error("the access secret is sent")
			}
		})
	}
}

func TestNoRequestIsLikeAnother(t *testing.T) {
	nowhere(t)
	m := open(t, keys())
	first, _ := request(t, login(t, m))
	second, _ := request(t, login(t, m))
	if a, b := first.Query().Get("SignatureNonce"), second.Query().Get("SignatureNonce"); a == b || a == "" {
		t.Errorf("the nonces are %q and %q", a, b)
	}
}

var random = regexp.MustCompile(`(Signature|SignatureNonce)=[^&]+`)

// The bubble's clock stands still, so all is fixed but the nonce, and with it the signature.
func TestTheRequestIsTheGoldenOne(t *testing.T) {
	nowhere(t)
	synctest.Test(t, func(t *testing.T) {
		o := keys()
		o.MountPath, o.Credentials.AccessToken = "auth/clouds/ali", "token"
		v := login(t, open(t, o))
		u, header := request(t, v)
		headers, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		got := v.path + "\n" + random.ReplaceAllString(u.String(), "$1=…") + "\n" + string(headers) + "\n"
		want, err := os.ReadFile("testdata/login.golden.txt")
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("sent\n%swant\n%s", got, want)
		}
	})
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for name, tc := range map[string]struct {
		role, region string
		c            alicloud.Credentials
		env          string
		want         string
	}{
		"no role":         {"", "cn-hangzhou", keys().Credentials, "", "; set role to"},
		"no region":       {"dev", "", keys().Credentials, "", `; set region, for example to "cn-hangzhou"`},
		"a host":          {"dev", "evil.example/", keys().Credentials, "", "; set region"},
		"no secret":       {"dev", "cn-hangzhou", alicloud.Credentials{AccessKey: "a"}, "", "; set both access_key and access_secret, or neither"},
		"no key":          {"dev", "cn-hangzhou", alicloud.Credentials{AccessSecret: "s3cr3t"}, "", "; set both access_key and access_secret, or neither"},
		"half a pair":     {"dev", "cn-hangzhou", alicloud.Credentials{PrivateKey: "s3cr3t"}, "", "; set both public_key_id and private_key, or neither"},
		"no RSA key":      {"dev", "cn-hangzhou", alicloud.Credentials{PrivateKey: "s3cr3t", PublicKeyID: "p"}, "", "; set private_key to an RSA key"},
		"short session":   {"dev", "cn-hangzhou", alicloud.Credentials{RoleSessionExpiration: time.Minute}, "", "; set role_session_expiration to at least 900"},
		"no number":       {"dev", "cn-hangzhou", keys().Credentials, "soon", "; set it to seconds, for example 3600"},
		"nothing at all":  {"dev", "cn-hangzhou", alicloud.Credentials{}, "", ", or give this instance a RAM role"},
		"only a role ARN": {"dev", "cn-hangzhou", alicloud.Credentials{RoleARN: "acs:ram::1:role/app"}, "", ", or give this instance a RAM role"},
	} {
		t.Run(name, func(t *testing.T) {
			nowhere(t)
			t.Setenv("ALICLOUD_SESSION_EXPIRATION", tc.env)
			o := keys()
			o.Credentials = tc.c
			_, err := alicloud.Open(t.Context(), tc.role, tc.region, quiet, o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("Open = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	nowhere(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, keys()).Login(ctx, client(t, &recorder{})); err == nil {
		t.Error("Login succeeded")
	}
}

func TestRefusalsAreVaultsOwn(t *testing.T) {
	nowhere(t)
	if _, err := open(t, keys()).Login(t.Context(), client(t, &recorder{status: 400})); err == nil || !strings.Contains(err.Error(), "Code: 400") {
		t.Errorf("Login = %v", err)
	}
}

func TestRemedy(t *testing.T) {
	nowhere(t)
	m := open(t, keys())
	for status, want := range map[int]string{404: "mounted at auth/alicloud", 400: `auth/alicloud has a role "dev"`, 500: "keys alone are not enough"} {
		if got := m.Remedy(status); !strings.Contains(got, want) {
			t.Errorf("after %d: %s, want %q in it", status, got, want)
		}
	}
}
