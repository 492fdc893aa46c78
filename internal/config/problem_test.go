package config_test

import (
	"testing"

	"leasehold/internal/config"
)

func TestBrokenFilesNameThePlaceAndTheRemedy(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"nothing to do": {
			"pid_file = \"x\"\n",
			`t.hcl:1: no auto_auth, cache, or listener block found in config; write at least listener "tcp" { ... }`,
		},
		"empty file": {
			"",
			`t.hcl:1: no auto_auth, cache, or listener block found in config; write at least listener "tcp" { ... }`,
		},
		"top-level key of the wrong type": {
			"pid_file = 5\n" + tcp,
			`t.hcl:1: pid_file must be text, not 5; write for example pid_file = "..."`,
		},
		"retries": {
			"vault {\n  retry {\n    num_retries = \"many\"\n  }\n}\n" + tcp,
			`t.hcl:3: vault: retry.num_retries must be a whole number, not "many"; write for example num_retries = 5`,
		},
		"retries out of range": {
			"vault {\n  retry { num_retries = 99999999999999999999 }\n}\n" + tcp,
			`t.hcl:2: vault: retry.num_retries must be a whole number, not 99999999999999999999; write for example num_retries = 5`,
		},
		"address without a scheme": {
			"vault {\n  address = \"vault.example:8200\"\n}\n" + tcp,
			`t.hcl:2: vault: address must begin with http://, https:// or unix:/// and name a host or a socket; write for example address = "https://vault.example:8200"`,
		},
		"address with a password": {
			"vault {\n  address = \"ftp://me:hunter2@vault\"\n}\n" + tcp,
			`t.hcl:2: vault: address must begin with http://, https:// or unix:/// and name a host or a socket; write for example address = "https://vault.example:8200"`,
		},
		"client certificate without its key": {
			"vault {\n  client_cert = \"c.pem\"\n}\n" + tcp,
			`t.hcl:1: vault: both client cert and client key must be provided; set client_cert and client_key, or neither`,
		},
		"attribute set twice": {
			"vault {\n  namespace = \"a\"\n  Namespace = \"b\"\n}\n" + tcp,
			`t.hcl:3: vault: the argument "Namespace" was already set at line 2. Each argument can only be defined once; remove one of the two`,
		},
		"attribute set three times": {
			"pid_file = \"a\"\npid_file = \"b\"\npid_file = \"c\"\n" + tcp,
			"t.hcl:2: the argument \"pid_file\" was already set at line 1. Each argument can only be defined once; remove one of the two\n" +
				"t.hcl:3: the argument \"pid_file\" was already set at line 2. Each argument can only be defined once; remove one of the two",
		},
		"JSON key given twice": {
			"{\"listener\": {\"tcp\": {\"tls_disable\": true}},\n \"pid_file\": \"a\", \"pid_file\": \"b\"}",
			`t.hcl:2: the argument "pid_file" was already set at line 2. Each argument can only be defined once; remove one of the two`,
		},
		"block repeated": {
			"vault {}\nvault {}\n" + tcp,
			`t.hcl:2: only one "vault" block is permitted; merge it with the one at line 1`,
		},
		"inner block repeated": {
			"vault {\n  retry {}\n  retry {}\n}\n" + tcp,
			`t.hcl:3: vault: only one "retry" block is permitted; merge it with the one at line 2`,
		},
		"block written as a value": {
			"vault = \"https://vault.example\"\n" + tcp,
			`t.hcl:1: vault must be a block, not text; write vault { ... }`,
		},
		"list with more than blocks": {
			"listener = [{ type = \"tcp\" }, 5]\n" + tcp,
			`t.hcl:1: listener must be a block, not a list; write listener { ... }`,
		},
		"value written as a block": {
			"pid_file { }\n" + tcp,
			`t.hcl:1: pid_file must be text, not a block; write for example pid_file = "..."`,
		},
		"log level": {
			"log_level = \"loud\"\n" + tcp,
			`t.hcl:1: log_level: unknown log level: loud; write trace, debug, info, warn or error`,
		},
		"log format": {
			"log_format = \"xml\"\n" + tcp,
			`t.hcl:1: log_format: unknown log format: xml; write standard, json or logfmt`,
		},
		"negative grace": {
			"shutdown_timeout = \"-1s\"\n" + tcp,
			`t.hcl:1: shutdown_timeout must be a duration of zero or more, not "-1s"; write for example shutdown_timeout = "30s"`,
		},
		"duration that overflows": {
			"shutdown_timeout = \"999999999999d\"\n" + tcp,
			`t.hcl:1: shutdown_timeout must be a duration of zero or more, not "999999999999d"; write for example shutdown_timeout = "30s"`,
		},
		"not a boolean": {
			"exit_after_auth = \"yes\"\n" + tcp,
			`t.hcl:1: exit_after_auth must be true or false, not "yes"; write for example exit_after_auth = true`,
		},
		"long values are cut": {
			"exit_after_auth = \"0123456789012345678901234567890123456789012345678901234567890123456789\"\n" + tcp,
			`t.hcl:1: exit_after_auth must be true or false, not "012345678901234567890123456789012345678901234567890123456789..."; write for example exit_after_auth = true`,
		},
		"templates": {
			tcp + "template {}\nenv_template \"A\" {}\nexec {}\n",
			"t.hcl:2: template is not built yet; remove the stanza, or keep Vault Agent for it\n" +
				"t.hcl:3: env_template is not built yet; remove the stanza, or keep Vault Agent for it\n" +
				"t.hcl:4: exec is not built yet; remove the stanza, or keep Vault Agent for it",
		},
		"unknown place of the token": {
			"auto_auth {\n" + approle + "}\napi_proxy {\n  use_auto_auth_token = \"sometimes\"\n}\n" + tcp,
			"t.hcl:1: auto_auth: auto_auth requires at least one sink, api_proxy.use_auto_auth_token=true, or cache.cache_static_secrets=true; " +
				`add sink "file" { ... }, or api_proxy { use_auto_auth_token = true }` + "\n" +
				`t.hcl:5: api_proxy: value of 'use_auto_auth_token' can be either true/false/force, "sometimes" is an invalid option; write for example use_auto_auth_token = true`,
		},
		"token without a login": {
			"api_proxy {\n  use_auto_auth_token = true\n}\n" + tcp,
			`t.hcl:2: api_proxy: api_proxy.use_auto_auth_token is true but auto_auth not configured; add an auto_auth stanza, or remove the key`,
		},
		"legacy token without a login": {
			"cache {\n  use_auto_auth_token = true\n}\n" + tcp,
			`t.hcl:2: cache: cache.use_auto_auth_token is true but auto_auth not configured; add an auto_auth stanza, or remove the key`,
		},
		"consistency misspelt": {
			"api_proxy {\n  enforce_consistency = \"alway\"\n  when_inconsistent = \"wait\"\n}\n" + tcp,
			`t.hcl:2: api_proxy: enforce_consistency must be "never" or "always", not "alway"; write for example enforce_consistency = "never"` + "\n" +
				`t.hcl:3: api_proxy: when_inconsistent must be "fail" or "retry" or "forward", not "wait"; write for example when_inconsistent = "fail"`,
		},
		"proxy without a listener": {
			"auto_auth {\n" + approle + tokenSink + "}\napi_proxy {}\n",
			`t.hcl:5: api_proxy: configuring the api_proxy requires at least 1 listener to be defined; add listener "tcp" { ... }`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
}

// wantProblems compares the whole error text.
func wantProblems(t *testing.T, src, want string) {
	t.Helper()
	cfg, err := parse(src)
	if err == nil {
		t.Fatalf("no problem in:\n%s", src)
	}
	if cfg != nil {
		t.Error("a configuration came with the error")
	}
	if got := err.Error(); got != want {
		t.Errorf("problems of\n%s\n got: %s\nwant: %s", src, got, want)
	}
}

func TestBrokenSyntaxIsPlacedAndShowsNoValue(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"word without quotes": {"vault {\n  address = hunter2\n}\n", "t.hcl:2: a value is missing or not in quotes; write text in double quotes"},
		"word without quotes in a list": {
			"listener = [{ address = hunter2 }]\n", "t.hcl:1: a value is missing or not in quotes; write text in double quotes",
		},
		"key without a value": {"vault {\n  \"hunter2\"\n}\n", "t.hcl:3: a key or a block has no value; write key = value, or name { ... }"},
		"value at the end":    {"\npid_file =\n", `t.hcl:2: the value after "=" is missing; complete or remove the last line`},
		"block left open":     {"vault {\n  address = \"x\"\n", "t.hcl:3: a block does not end; close it with a brace"},
		"quote left open":     {"\n\npid_file = \"x\n", "t.hcl:3: a text does not end on its line; close it with a double quote"},
		"heredoc left open":   {"pid_file = <<EOF\nx\n", "t.hcl:3: a heredoc does not end; write its mark alone on the line after it"},
		"brace too many":      {"vault {}\n}\n", "t.hcl:2: syntax error: expected: IDENT | STRING | ASSIGN | LBRACE got: RBRACE; check this line and the one before"},
		"escape that is no character": {
			"\n\npid_file = \"\\400\"\n", "t.hcl:3: the parser cannot read this; check the quotes and heredocs from here on",
		},
		"not UTF-8":    {"vault {}\n# caf\xe9\n", "t.hcl:2: the file is not valid UTF-8; save it as UTF-8"},
		"JSON cut off": {"{\"vault\":\n {\"address\": \"x\"", "t.hcl:2: the JSON ends too early; check the braces, brackets and quotes"},
		"JSON cut off in a list": {
			"{\"listener\": [", "t.hcl:1: the JSON ends too early; check the braces, brackets and quotes",
		},
		"JSON comma": {
			"{\n \"pid_file\": \"x\",\n}", "t.hcl:3: JSON syntax error: invalid character '}' looking for beginning of object key string; check this line and the one before",
		},
		"JSON with a tail": {"{}\n{}", "t.hcl:2: there is more text after the closing brace; remove it"},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
}

func TestAllProblemsOfAFileComeAtOnceInFileOrder(t *testing.T) {
	cfg, err := config.Parse("broken.hcl", fixture(t, "broken.hcl"), config.Options{LookupEnv: env{}.lookup})
	if err == nil {
		t.Fatal("no problem")
	}
	got := "errors:\n" + err.Error() + "\nwarnings:\n" + warnings(cfg, err) + "\n"
	if want := string(fixture(t, "broken.txt")); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
