package main

import (
	"flag"

	"leasehold/internal/config"
	"leasehold/internal/telemetry"
)

// logFileFlags are read with the keys that they stand for, so that they take the same values and have the same defaults.
func logFileFlags(set *flag.FlagSet, f *config.LogFileFlags) {
	set.StringVar(&f.Path, "log-file", "", "a `FILE` for the log, in addition to standard error (log_file)")
	set.StringVar(&f.RotateBytes, "log-rotate-bytes", "", "the size of the log file from which on a new one is begun (log_rotate_bytes)")
	set.StringVar(&f.RotateDuration, "log-rotate-duration", "", "the age of the log file from which on a new one is begun, 24h by default, -1 for no limit (log_rotate_duration)")
	set.StringVar(&f.RotateMaxFiles, "log-rotate-max-files", "", "how many old log files are kept; 0 keeps all, -1 none (log_rotate_max_files)")
}

// logSettings are those of the configuration.
func logSettings(cfg *config.Config) telemetry.LogSettings {
	s := telemetry.LogSettings{Level: cfg.LogLevel, Format: cfg.LogFormat}
	if f := cfg.LogFile; f != nil {
		s.File, s.RotateBytes, s.RotateDuration, s.RotateMaxFiles = f.Path, f.RotateBytes, f.RotateDuration, f.RotateMaxFiles
	}
	return s
}
