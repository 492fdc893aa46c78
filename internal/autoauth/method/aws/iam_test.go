package aws_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"leasehold/internal/autoauth/method/aws"
)

const (
	id     = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func keys(o aws.IAMOptions) aws.IAMOptions {
	o.AccessKey, o.SecretKey = id, secret
	return o
}

func open(t *testing.T, o aws.IAMOptions) *aws.IAM {
	t.Helper()
	m, err := aws.OpenIAM(t.Context(), "dev", quiet, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func sum(data string) string {
	h := sha256.Sum256([]byte(data))
	return hex.EncodeToString(h[:])
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=(\S+?)/(\d{8})/(\S+?)/sts/aws4_request, SignedHeaders=(\S+), Signature=([0-9a-f]{64})$`)

// signed holds a login body against AWS's description of Signature Version 4 and returns the headers that are signed.
func signed(t *testing.T, fields map[string]string, secret, region string) (string, http.Header) {
	t.Helper()
	u, err := url.Parse(decode(t, fields["iam_request_url"]))
	if err != nil {
		t.Fatal(err)
	}
	var header http.Header
	if err := json.Unmarshal([]byte(decode(t, fields["iam_request_headers"])), &header); err != nil {
		t.Fatal(err)
	}
	parts := authorization.FindStringSubmatch(header.Get("Authorization"))
	if parts == nil {
		t.Fatalf("Authorization: %s", header.Get("Authorization"))
	}
	day, scopeRegion, names, signature := parts[2], parts[3], parts[4], parts[5]
	if scopeRegion != region {
		t.Errorf("signed for the region %s, want %s", scopeRegion, region)
	}
	canonical := fields["iam_http_request_method"] + "\n" + u.Path + "\n" + u.RawQuery + "\n"
	for name := range strings.SplitSeq(names, ";") {
		value := header.Get(name)
		if name == "host" {
			value = u.Host // as Vault fills it in
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + names + "\n" + sum(decode(t, fields["iam_request_body"]))
	date := header.Get("X-Amz-Date")
	if !strings.HasPrefix(date, day+"T") {
		t.Errorf("the scope is of %s, the request of %s", day, date)
	}
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + day + "/" + region + "/sts/aws4_request\n" + sum(canonical)
	key := mac(mac(mac(mac([]byte("AWS4"+secret), day), region), "sts"), "aws4_request")
	if want := hex.EncodeToString(mac(key, toSign)); signature != want {
		t.Errorf("the signature is %s, want %s of\n%s", signature, want, canonical)
	}
	return names, header
}

func TestTheRequestToSTSIsSigned(t *testing.T) {
	const plain = "content-length;content-type;host;x-amz-date"
	for name, tc := range map[string]struct {
		o       aws.IAMOptions
		url     string
		region  string
		headers string
	}{
		"all defaults":  {aws.IAMOptions{}, "https://sts.amazonaws.com/", "us-east-1", plain},
		"region":        {aws.IAMOptions{Region: "eu-west-1"}, "https://sts.eu-west-1.amazonaws.com/", "eu-west-1", plain},
		"newer region":  {aws.IAMOptions{Region: "ap-southeast-5"}, "https://sts.ap-southeast-5.amazonaws.com/", "ap-southeast-5", plain},
		"China":         {aws.IAMOptions{Region: "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1", plain},
		"GovCloud":      {aws.IAMOptions{Region: "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com/", "us-gov-west-1", plain},
		"isolated":      {aws.IAMOptions{Region: "us-iso-east-1"}, "https://sts.us-iso-east-1.c2s.ic.gov/", "us-iso-east-1", plain},
		"server ID":     {aws.IAMOptions{ServerID: "vault.example"}, "https://sts.amazonaws.com/", "us-east-1", plain + ";x-vault-aws-iam-server-id"},
		"session token": {aws.IAMOptions{SessionToken: "tok/en+1=="}, "https://sts.amazonaws.com/", "us-east-1", plain + ";x-amz-security-token"},
	} {
		t.Run(name, func(t *testing.T) {
			v := login(t, open(t, keys(tc.o)))
			fields := v.fields(t)
			if v.path != "PUT /v1/auth/aws/login" || fields["role"] != "dev" || len(fields) != 5 {
				t.Errorf("sent %s with %v", v.path, fields)
			}
			if got := decode(t, fields["iam_request_url"]); got != tc.url {
				t.Errorf("the request goes to %s, want %s", got, tc.url)
			}
			if got := decode(t, fields["iam_request_body"]); got != "Action=GetCallerIdentity&Version=2011-06-15" {
				t.Errorf("the request asks %s", got)
			}
			if fields["iam_http_request_method"] != "POST" {
				t.Errorf("the request is a %s", fields["iam_http_request_method"])
			}
			names, header := signed(t, fields, secret, tc.region)
			if names != tc.headers {
				t.Errorf("signed %s, want %s", names, tc.headers)
			}
			if header.Get("X-Vault-AWS-IAM-Server-ID") != tc.o.ServerID || header.Get("X-Amz-Security-Token") != tc.o.SessionToken {
				t.Errorf("the headers are %v", header)
			}
			if strings.Contains(v.body+decode(t, fields["iam_request_headers"]), secret) {
				t.Error("the secret key is sent")
			}
		})
	}
}

// The bubble's clock stands still, so all of the body is fixed.
func TestLoginBodyIsTheGoldenOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := login(t, open(t, keys(aws.IAMOptions{MountPath: "auth/clouds/aws", SessionToken: "session", ServerID: "vault.example", Region: "eu-central-1"})))
		want, err := os.ReadFile("testdata/iam.golden.json")
		if err != nil {
			t.Fatal(err)
		}
		if v.path != "PUT /v1/auth/clouds/aws/login" || v.body != strings.TrimSpace(string(want)) {
			t.Errorf("sent %s %s, want %s", v.path, v.body, want)
		}
		signed(t, v.fields(t), secret, "eu-central-1")
	})
}

func TestOpenIAMRefusesWhatCannotWork(t *testing.T) {
	for name, tc := range map[string]struct {
		role   string
		o      aws.IAMOptions
		remedy string
	}{
		"no role":           {"", keys(aws.IAMOptions{}), "; set role to one of the roles of Vault's AWS auth method"},
		"no secret key":     {"dev", aws.IAMOptions{AccessKey: id}, "; set both, or neither to let AWS's own places be searched"},
		"no access key":     {"dev", aws.IAMOptions{SecretKey: secret}, "; set both, or neither to let AWS's own places be searched"},
		"only a token":      {"dev", aws.IAMOptions{SessionToken: "t"}, "; set access_key and secret_key as well, or remove it"},
		"no region at all":  {"dev", keys(aws.IAMOptions{Region: "eu west"}), `; correct region, for example to "eu-west-1"`},
		"a host for region": {"dev", keys(aws.IAMOptions{Region: "evil.example/"}), `; correct region, for example to "eu-west-1"`},
		"no credentials":    {"dev", aws.IAMOptions{}, "; set access_key and secret_key or the AWS_ variables, or give this machine a role"},
	} {
		t.Run(name, func(t *testing.T) {
			nowhere(t)
			_, err := aws.OpenIAM(t.Context(), tc.role, quiet, tc.o)
			if err == nil || !strings.HasSuffix(err.Error(), tc.remedy) || strings.Contains(err.Error(), secret) {
				t.Errorf("OpenIAM = %v, want an error that ends in %q", err, tc.remedy)
			}
		})
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, keys(aws.IAMOptions{})).Login(ctx, client(t, &recorder{})); err == nil {
		t.Error("Login succeeded")
	}
}

func TestRefusalsAreVaultsOwn(t *testing.T) {
	if _, err := open(t, keys(aws.IAMOptions{})).Login(t.Context(), client(t, &recorder{status: 400})); err == nil || !strings.Contains(err.Error(), "Code: 400") {
		t.Errorf("Login = %v", err)
	}
}

func TestRemedy(t *testing.T) {
	ec2, err := aws.NewEC2("dev", aws.EC2Options{})
	if err != nil {
		t.Fatal(err)
	}
	plain, bound := open(t, keys(aws.IAMOptions{Region: "eu-west-1"})), open(t, keys(aws.IAMOptions{ServerID: "v"}))
	for name, tc := range map[string]struct{ got, want string }{
		"role":       {plain.Remedy(400), `the role "dev" of auth/aws`},
		"endpoint":   {plain.Remedy(400), "sts_endpoint is https://sts.eu-west-1.amazonaws.com,"},
		"no header":  {plain.Remedy(403), "asks for no iam_server_id_header_value"},
		"header":     {bound.Remedy(403), "header_value is Vault's"},
		"mount":      {plain.Remedy(404), "mounted at auth/aws"},
		"instance":   {ec2.Remedy(400), "nonce"},
		"ec2's role": {ec2.Remedy(403), `the role "dev"`},
		"its mount":  {ec2.Remedy(404), "mounted at auth/aws"},
	} {
		if !strings.Contains(tc.got, tc.want) {
			t.Errorf("%s: %s, want %q in it", name, tc.got, tc.want)
		}
	}
}
