package config

import (
	"bytes"
	"maps"
	"regexp"
	"strings"
	"sync"
)

var (
	keyBefore  = regexp.MustCompile(`^("?[A-Za-z_][A-Za-z0-9_-]{0,60}"?)[ \t]*[={:]`)
	openedHere = regexp.MustCompile(`^"?([A-Za-z_][A-Za-z0-9_-]{0,60})"?(?:[ \t]+"[^"@]{0,60}")?[ \t]*[=:]?[ \t]*[{\[]$`)
	givenHere  = regexp.MustCompile(`^"?([A-Za-z_][A-Za-z0-9_-]{0,60})"?[ \t]*[=:][ \t]*(?:"[^"@]{0,100}"|[-+.A-Za-z0-9_]{1,40})$`)
)

// excerpt returns the line of a place from the place on. Only the key is left of a line that may hold a secret: when the key takes one, when a login method's
// block may be what it stands in, and when it is not one key with one value. It is empty where no key begins.
func excerpt(text []byte, at Pos) string {
	line := lineFrom(text, at)
	if line == "" {
		return ""
	}
	trimmed := strings.TrimRight(line, ",} \t\r\n")
	if openedHere.MatchString(trimmed) {
		return trimmed
	}
	if found := givenHere.FindStringSubmatch(trimmed); found != nil && unsecret()[strings.ToLower(found[1])] {
		return trimmed
	}
	if found := keyBefore.FindStringSubmatch(line); found != nil {
		return found[1] + " ..."
	}
	return ""
}

// lineFrom returns what stands on the line of a place, from its column on.
func lineFrom(text []byte, at Pos) string {
	number := 0
	for line := range bytes.Lines(text) {
		if number++; number < at.Line {
			continue
		}
		if r := []rune(string(line)); at.Column > 0 && at.Column <= len(r) {
			return string(r[at.Column-1:])
		}
		break
	}
	return ""
}

// unsecret are the keys whose values are no secrets in any stanza that has them.
var unsecret = sync.OnceValue(func() map[string]bool {
	shown, hidden := map[string]bool{}, map[string]bool{}
	for _, keys := range []table{
		topKeys, vaultKeys, retryKeys, apiProxyKeys, cacheKeys, ruleKeys, persistKeys, listenerKeys, controlKeys, autoAuthKeys, methodKeys, sinkKeys, fileSinkKeys, telemetryKeys, tracesKeys,
	} {
		for key, r := range keys {
			shown[key] = !r.secret
			hidden[key] = hidden[key] || r.secret
		}
	}
	for _, keys := range methodConfigs {
		for key := range keys {
			hidden[key] = true
		}
	}
	maps.DeleteFunc(shown, func(key string, _ bool) bool { return hidden[key] })
	return shown
})
