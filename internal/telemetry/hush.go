package telemetry

import (
	"cmp"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hush makes texts for the log of what went wrong with a collector. Collectors and the proxies before them may answer with the request that they refuse,
// its headers included, in a text of any length.
type hush struct{ secrets *strings.Replacer }

// leastSecret is how long the value of a header is at least that is looked for: what is shorter keeps no secret, and stands in every address.
const leastSecret = 4

// hushing hides the values of headers, and of those that the environment adds. Each part of a value is hidden as well, since a collector may say the key
// without its scheme.
func hushing(headers map[string]string) hush {
	values := envHeaders()
	for _, v := range headers {
		values = append(values, v)
	}
	var all []string
	for _, v := range values {
		all = append(all, strings.TrimSpace(v))
		all = append(all, strings.Fields(v)...)
	}
	for _, v := range slices.Clone(all) {
		quoted := strconv.Quote(v) // as errors have what came over the network
		all = append(all, quoted[1:len(quoted)-1])
	}
	all = slices.DeleteFunc(all, func(v string) bool { return len(v) < leastSecret })
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // what is a part of another comes after it
	var pairs []string
	for _, v := range all {
		pairs = append(pairs, v, "[redacted]")
	}
	return hush{strings.NewReplacer(pairs...)}
}

// envHeaders are the values of what the exporters take from the environment by themselves.
func envHeaders() (values []string) {
	for _, name := range [...]string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for pair := range strings.SplitSeq(os.Getenv(name), ",") {
			_, value, _ := strings.Cut(pair, "=")
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			values = append(values, value)
		}
	}
	return values
}

var (
	// answerBody begins what the exporters over HTTP quote of an answer, and gRPC of a connection that was ended.
	answerBody = regexp.MustCompile(`(?s)\s*\(?\b(body|debug data): .*`)
	// grpcWords are those of a status that collectors make. What gRPC says itself, of connections that fail, has the codes that are left out.
	grpcWords = regexp.MustCompile(`(?s)(rpc error: code = (\w+)) desc = .*`)
	// partialWords are what a collector says of an export that it took in a part of; the number of what it refused follows.
	partialWords = regexp.MustCompile(`(?s)(OTLP partial success): .*(\(-?\d+ [a-z ]+ rejected\))`)
)

// text is what is logged of err: nothing that a collector wrote at length, no secret, and 1 KiB at most.
func (h hush) text(err error) string {
	text := partialWords.ReplaceAllString(err.Error(), "$1 $2")
	text = answerBody.ReplaceAllString(text, "")
	text = grpcWords.ReplaceAllStringFunc(text, func(all string) string {
		switch found := grpcWords.FindStringSubmatch(all); found[2] {
		case "Unavailable", "DeadlineExceeded", "Canceled":
			return all
		default:
			return found[1]
		}
	})
	return bounded(h.secrets.Replace(text))
}
