package config

import (
	"log/slog"
	"strings"
)

// place is one of the places where a setting may be given.
type place struct {
	pos      Pos
	name     string // of the flag, the variable or the key
	variable bool
	text     string
}

// stanza is what a problem there begins with.
func (p place) stanza() string {
	if p.variable {
		return inEnvironment(p.name)
	}
	return p.name
}

// places are the flag, the variable and the key of a setting, the strongest first.
func (d *decoder) places(flag, flagText, variable string, top section, key string) []place {
	return []place{
		{name: flag, text: flagText},
		{name: variable, variable: true, text: d.variable(variable)},
		{pos: top.place(key), name: key, text: top.String(key)},
	}
}

// firstGiven returns the setting of the first place that is not empty, or else what "" means. The other places are checked too:
// a mistake there would come out on the day the stronger one is gone.
func firstGiven[T any](d *decoder, places []place, parse func(string) (T, *Problem)) T {
	chosen, _ := parse("")
	given := false
	for _, p := range places {
		if p.text == "" {
			continue
		}
		v, problem := parse(p.text)
		if problem != nil {
			problem.Pos, problem.Stanza = p.pos, p.stanza()
			d.fail(*problem)
		}
		if !given {
			chosen, given = v, true
			d.chosen(p, places[len(places)-1].name)
		}
	}
	return chosen
}

// chosen notes the place that a setting is taken from, unless it is the file, which is noted.
func (d *decoder) chosen(p place, key string) {
	kind := SourceFlag
	if p.variable {
		kind = SourceEnvironment
	}
	if p.name != key {
		d.origins.set(key, strings.ToLower(p.text), Source{Kind: kind, Name: p.name})
	}
}

func parseLogLevel(s string) (slog.Level, *Problem) {
	switch strings.ToLower(s) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "", "info", "notice":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "err":
		return slog.LevelError, nil
	default:
		return 0, &Problem{Text: "unknown log level: " + clip(s), Remedy: "write trace, debug, info, warn or error"}
	}
}

func parseLogFormat(s string) (string, *Problem) {
	switch format := strings.ToLower(s); format {
	case "", "standard":
		return "standard", nil
	case "json", "logfmt":
		return format, nil
	default:
		return "", &Problem{Text: "unknown log format: " + clip(s), Remedy: "write standard, json or logfmt"}
	}
}
