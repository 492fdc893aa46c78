package config

import (
	"fmt"
	"strings"
)

// AccessLog is the access_log stanza: a line for each request.
type AccessLog struct {
	Pos     Pos
	Path    string   // "stdout", the default, "stderr", or a file; one that ends in a separator is a directory, in which the file is access.log
	Format  string   // "json", the default, or "text"
	Exclude []string // patterns of requests without a line: as a rule's path, without /v1/, or with /proxy/v1/ before it
}

var accessLogKeys = table{
	"path":    {kind: text, preset: "stdout", example: `"/var/log/leasehold/access.log"`, ours: true, doc: "`stdout`, `stderr`, or a file, opened anew by its name at each reload; access.log in it when it ends in a separator."},
	"format":  {kind: oneOf("json", "text"), ours: true, doc: "How a line is written: `json`, or `text` as key=value pairs."},
	"exclude": {kind: texts, example: `["sys/health", "/proxy/v1/*"]`, ours: true, doc: "Requests that get no line: paths as in a `rule` of a listener, without /v1/, with their namespace; or endpoints of Leasehold's own."},
}

// accessLog returns nil when there is no stanza.
func (d *decoder) accessLog(top section) *AccessLog {
	b, ok := d.only(top, "access_log")
	if !ok {
		return nil
	}
	s := d.section("access_log", b, accessLogKeys)
	a := &AccessLog{Pos: s.pos, Path: s.String("path"), Format: s.String("format")}
	switch {
	case a.Path == "":
		d.fail(s.problem(s.place("path"), "path must not be empty", accessLogKeys["path"].assign("path")))
	case strings.ContainsAny(a.Path, "*?["):
		d.fail(s.problem(s.place("path"), "the path may not contain *, ? or [", "name one file"))
	}
	for _, path := range setting[[]string](s.Settings, "exclude") {
		if !ourEndpoint(path) {
			path = strings.TrimPrefix(strings.TrimPrefix(path, "/"), "v1/")
		}
		text := brokenPattern(path)
		if text == "" && unreachable(path) != "" {
			text = fmt.Sprintf("%q matches nothing: a request whose path is not in its canonical form is always logged", clip(path))
		}
		if text != "" {
			d.fail(s.problem(s.place("exclude"), "exclude: "+strings.TrimPrefix(text, "rule "), fmt.Sprintf("write for example exclude = %s", accessLogKeys["exclude"].example)))
		}
		a.Exclude = append(a.Exclude, path)
	}
	return a
}
