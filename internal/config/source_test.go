package config_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestSettingsOfTheFilesAreNumberedAndShowNoSecret(t *testing.T) {
	cfg := mustParse(t, "pid_file = \"x\"\nauto_auth {\n"+approle+tokenSink+strings.Replace(tokenSink, "token", "token2", 1)+"}\n"+tcp+tcp)
	got := map[string]string{}
	for _, s := range cfg.Settings {
		got[s.Path] = fmt.Sprint(s.Value, s.Secret, s.Source.Pos.Line)
	}
	for path, want := range map[string]string{
		"pid_file": "xfalse 1", "auto_auth[0].method.config.role_id_file_path": "<nil> true 3",
		"auto_auth[0].sink[1].config.path": "token2false 5", "listener[1].tls_disable": "true false 8",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q of %v", path, got[path], want, got)
		}
	}
}
