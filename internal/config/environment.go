package config

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// inEnvironment is the stanza of a problem with a variable.
func inEnvironment(name string) string { return "environment variable " + name }

// checkedVariables are those of Vault's clients that no field holds: package upstream reads them, one after the other and by Vault's own library. They are
// looked at here first, so that what is wrong with them is told together with what is wrong in the files. A text is not shown where it may hold a password.
var checkedVariables = []struct {
	name           string
	good           func(string) bool
	text, remedy   string
	overriddenByCA bool // means nothing where a CA file is named from outside
}{
	{name: "VAULT_MAX_RETRIES", good: isRetries, text: "must be a whole number of zero or more", remedy: "set for example 12"},
	{name: "VAULT_CLIENT_TIMEOUT", good: isTimeout, text: "must be a duration of zero or more", remedy: "set for example 60s"},
	{name: "VAULT_RATE_LIMIT", good: isRateLimit, text: "must be requests a second above zero, with a burst after a colon", remedy: "set for example 100:200"},
	{name: "VAULT_SRV_LOOKUP", good: isTruth, text: "must be true or false", remedy: "set true or false, or unset it"},
	{name: "VAULT_DISABLE_REDIRECTS", good: isTruth, text: "must be true or false", remedy: "set true or false, or unset it"},
	{name: "VAULT_PROXY_ADDR", good: isForwardProxy, text: "must be the URL of an HTTP forward proxy", remedy: "set for example http://proxy.example:3128, or unset it"},
	{name: "VAULT_HTTP_PROXY", good: isForwardProxy, text: "must be the URL of an HTTP forward proxy", remedy: "set for example http://proxy.example:3128, or unset it"},
	{name: "VAULT_CACERT_BYTES", good: isCertificates, text: "must be certificates in PEM", remedy: "set the text of a CA file, or unset it", overriddenByCA: true},
}

// checkVariables reports every variable that Vault's library could not read.
func (d *decoder) checkVariables() {
	for _, v := range checkedVariables {
		text := d.variable(v.name)
		if text == "" || v.good(text) || v.overriddenByCA && (d.flags.CACert != "" || d.variable("VAULT_CACERT") != "") {
			continue
		}
		d.fail(Problem{Stanza: inEnvironment(v.name), Text: v.text, Remedy: v.remedy})
	}
	d.checkHeaders()
}

// checkHeaders reads VAULT_HEADERS as Vault's library does, except that case does not hide Vault's own headers. Values are not shown.
func (d *decoder) checkHeaders() {
	text := d.variable("VAULT_HEADERS")
	if text == "" {
		return
	}
	bad := func(format string, values ...any) {
		d.fail(Problem{Stanza: inEnvironment("VAULT_HEADERS"), Text: fmt.Sprintf(format, values...), Remedy: `set for example {"X-Tenant": "a"}`})
	}
	var headers map[string]any
	if json.Unmarshal([]byte(text), &headers) != nil {
		bad("must be a JSON object of headers")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, isText := headers[name].(string)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			bad("%q is not the name of a header", clip(name))
		case strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Vault-"):
			bad("%s is a header of Vault's own", clip(name))
		case !isText || !httpguts.ValidHeaderFieldValue(value):
			bad("the value of %s is not text for a header", clip(name))
		}
	}
}

func isRetries(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

func isTimeout(text string) bool {
	d, ok := parseDuration(value{data: text})
	return ok && d >= 0
}

// isRateLimit scans as Vault's library does, which takes no notice of what follows.
func isRateLimit(text string) bool {
	var rate float64
	var burst int
	if _, err := fmt.Sscanf(text, "%f:%d", &rate, &burst); err != nil {
		if rate, err = strconv.ParseFloat(text, 64); err != nil {
			return false
		}
	}
	return rate > 0 && !math.IsNaN(rate) && burst >= 0
}

func isTruth(text string) bool {
	_, err := strconv.ParseBool(text)
	return err == nil
}

// isForwardProxy refuses host:port without a scheme, which parses as a URL of the scheme "host" and cannot be dialled.
func isForwardProxy(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != ""
}

func isCertificates(text string) bool { return x509.NewCertPool().AppendCertsFromPEM([]byte(text)) }
