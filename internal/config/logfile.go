package config

import (
	"strings"
	"time"
)

// defaultRotateDuration is Vault's.
const defaultRotateDuration = 24 * time.Hour

// LogFile is what log_file and its log_rotate_ keys say, each with a flag of the same name that wins.
type LogFile struct {
	Path           string        // as written; one that ends in a separator is a directory, in which the file is proxy.log
	RotateBytes    int64         // log_rotate_bytes: -1, also for 0, means never by size
	RotateDuration time.Duration // log_rotate_duration: 24h by default; -1 means never by time
	RotateMaxFiles int           // log_rotate_max_files: how many files set aside are kept; 0, the default, keeps all, -1 none
}

// LogFileFlags are the command line's words for a LogFile, unread; "" means not given.
type LogFileFlags struct {
	Path, RotateBytes, RotateDuration, RotateMaxFiles string
}

// rotation is how long a log file may grow: a duration, or any negative one for no limit.
var rotation = kind{want: "a duration, or -1 for no limit", example: `"24h"`, zero: time.Duration(0), json: jsonBackoff, read: func(v value) (any, bool) {
	d, ok := parseDuration(v)
	return max(d, -1), ok
}}

// logFile returns nil when there is none.
func (d *decoder) logFile(top section, flags LogFileFlags) *LogFile {
	f := LogFile{
		Path:           top.String("log_file"),
		RotateBytes:    setting[int64](top.Settings, "log_rotate_bytes"),
		RotateDuration: top.Duration("log_rotate_duration"),
		RotateMaxFiles: top.Int("log_rotate_max_files"),
	}
	place := Problem{Pos: top.place("log_file"), Stanza: "log_file"}
	if flags.Path != "" {
		f.Path, place = flags.Path, Problem{Stanza: "-log-file"}
		d.outside("log_file", "-log-file", true, "", f.Path)
	}
	flagValue(d, "-log-rotate-bytes", flags.RotateBytes, "log_rotate_bytes", &f.RotateBytes)
	flagValue(d, "-log-rotate-duration", flags.RotateDuration, "log_rotate_duration", &f.RotateDuration)
	flagValue(d, "-log-rotate-max-files", flags.RotateMaxFiles, "log_rotate_max_files", &f.RotateMaxFiles)
	if f.RotateBytes == 0 {
		f.RotateBytes = -1
	}
	if f.RotateDuration == 0 {
		f.RotateDuration = defaultRotateDuration
		d.origins.set("log_rotate_duration", f.RotateDuration, Source{})
	}
	f.RotateMaxFiles = max(f.RotateMaxFiles, -1)
	if strings.ContainsAny(f.Path, "*?[") {
		place.Text, place.Remedy = "the path may not contain *, ? or [", "name one file"
		d.fail(place)
	}
	if f.Path == "" {
		return nil
	}
	return &f
}

// flagValue reads a flag as its key would be read.
func flagValue[T any](d *decoder, flag, text, key string, into *T) {
	if text == "" {
		return
	}
	r := topKeys[key]
	v, ok := r.kind.read(value{data: text})
	if !ok {
		d.fail(Problem{Stanza: flag, Text: "must be " + r.kind.want, Remedy: "write for example " + flag + "=" + strings.Trim(r.kind.example, `"`)})
		return
	}
	*into = v.(T)
	d.outside(key, flag, true, "", v)
}
