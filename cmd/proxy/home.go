package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leasehold/internal/config"
)

// homeOf is the directory that relative paths of a service's configuration are from: that of its first file, or the first directory of files.
func homeOf(configs []string) (string, error) {
	first, err := filepath.Abs(configs[0])
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(first); err == nil && info.IsDir() {
		return first, nil
	}
	return filepath.Dir(first), nil
}

// enterHome makes that the working directory of this process, which a service begins with System32, and the paths of the configuration absolute.
func enterHome(configs []string) (home string, err error) {
	if home, err = homeOf(configs); err != nil {
		return "", err
	}
	for i, file := range configs {
		if configs[i], err = filepath.Abs(file); err != nil {
			return "", err
		}
	}
	if err := os.Chdir(home); err != nil {
		return "", fmt.Errorf("%w; let the service's account read the directory of its configuration", err)
	}
	return home, nil
}

// fileKeys are the ends of the keys that name files and directories.
var fileKeys = []string{"_file", ".config.path", ".persist.path", "_path", ".ca_cert", ".client_cert", ".client_key"}

// notFiles are the ends of those that only look so: they are paths of Vault.
var notFiles = []string{".mount_path", "_wrapping_path"}

// relativePaths warns of each path in the configuration, which was loaded with Sources, that is not absolute.
func relativePaths(cfg *config.Config, home string) (warnings []config.Problem) {
	ends := func(key string) func(string) bool {
		return func(end string) bool { return strings.HasSuffix("."+key, end) }
	}
	for _, s := range cfg.Settings {
		path, _ := s.Value.(string)
		if path == "" || s.Source.Kind == config.SourceDefault || filepath.IsAbs(path) || !slices.ContainsFunc(fileKeys, ends(s.Path)) || slices.ContainsFunc(notFiles, ends(s.Path)) {
			continue
		}
		warnings = append(warnings, config.Problem{
			Pos: s.Source.Pos, Text: fmt.Sprintf("%s is a relative path, which is from %s for a service", s.Path, home), Remedy: "write an absolute one",
		})
	}
	return warnings
}

// doubts are what a service will meet with this configuration, a line each. They are no reason not to install it: the files may be written later.
func (o serviceOrder) doubts() string {
	cfg, err := config.Load(config.Options{Paths: o.config, Sources: true})
	if err != nil {
		return fmt.Sprintf("warning: the configuration cannot be used as it is; see: leasehold validate -config=%q\n", o.config[0])
	}
	home, err := homeOf(o.config)
	if err != nil {
		return fmt.Sprintf("warning: %v\n", err)
	}
	var lines strings.Builder
	for _, w := range relativePaths(cfg, home) {
		_, _ = fmt.Fprintf(&lines, "warning: %s\n", w)
	}
	return lines.String()
}
