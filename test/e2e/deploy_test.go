package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deployed = "../../deploy/"

var metricName = regexp.MustCompile(`\b(leasehold|vault_proxy|process)_[a-z_]+`)

// expressions are those of the dashboard and of the alert rules.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
		Templating, Annotations struct {
			List []struct{ Query, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, deployed+"grafana/leasehold.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	for _, v := range append(dashboard.Templating.List, dashboard.Annotations.List...) {
		all = append(all, v.Query, v.Expr)
	}
	for _, rule := range alertRules(t) {
		all = append(all, rule.Expr)
	}
	return all
}

type alertRule struct{ Alert, Expr string }

func alertRules(t *testing.T) (all []alertRule) {
	t.Helper()
	var rules struct {
		Groups []struct{ Rules []alertRule }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, deployed+"prometheus/leasehold.rules.yml")), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alert rules")
	}
	return all
}

// What the dashboard and the alerts ask for is there in a scrape of a proxy that has everything and did something.
func TestDashboardAndAlertsAskForMetricsThatExist(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, persistent(shared.Address, r, t.TempDir()))
	p.do(t, "GET", "/v1/leaser/creds/deployed?ttl=600", "").secret(t)
	text := string(p.do(t, "GET", "/proxy/v1/metrics?format=prometheus", "").Body)
	for _, e := range expressions(t) {
		for _, name := range metricName.FindAllString(e, -1) {
			if !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"{") {
				t.Errorf("there is no metric %s, which this asks for: %s", name, e)
			}
		}
	}
}

// Every alert has its row in the documentation, and nothing else has.
func TestAlertsAreExplained(t *testing.T) {
	var documented, alerts []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(Leasehold[A-Za-z]+)` \\|").FindAllStringSubmatch(readFile(t, "../../docs/operations.md"), -1) {
		documented = append(documented, found[1])
	}
	for _, rule := range alertRules(t) {
		alerts = append(alerts, rule.Alert)
	}
	slices.Sort(documented)
	slices.Sort(alerts)
	if !slices.Equal(documented, alerts) {
		t.Errorf("documented: %v\nthere are:  %v", documented, alerts)
	}
}

type manifest struct {
	Data map[string]string
	Spec struct {
		Template struct {
			Spec struct {
				Containers     []container
				InitContainers []container `yaml:"initContainers"`
			}
		}
	}
}

type container struct {
	Ports     []struct{ Name string }
	Startup   probe `yaml:"startupProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Readiness probe `yaml:"readinessProbe"`
}

type probe struct {
	Get struct{ Path, Port string } `yaml:"httpGet"`
}

// The configurations in the Kubernetes examples load under -strict, and their probes ask for what there is.
func TestKubernetesExamples(t *testing.T) {
	doc := loadDescription(t)
	files, err := filepath.Glob(deployed + "kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			configurations, probes := 0, 0
			for _, m := range manifests(t, file) {
				for name, text := range m.Data {
					configurations++
					path := filepath.Join(t.TempDir(), name)
					writeFile(t, path, text, 0o600)
					out, err := exec.CommandContext(t.Context(), program, "-strict", "-test-verify-only", "-config="+path).CombinedOutput()
					if err != nil {
						t.Errorf("%s: %v\n%s", name, err, out)
					}
				}
				for _, c := range append(m.Spec.Template.Spec.Containers, m.Spec.Template.Spec.InitContainers...) {
					for _, p := range []probe{c.Startup, c.Liveness, c.Readiness} {
						if p.Get.Path == "" {
							continue
						}
						probes++
						path, _, _ := strings.Cut(p.Get.Path, "?")
						if doc.Paths.Find(path) == nil {
							t.Errorf("a probe asks for %s, which there is not", p.Get.Path)
						}
						if !slices.ContainsFunc(c.Ports, func(port struct{ Name string }) bool { return port.Name == p.Get.Port }) {
							t.Errorf("a probe asks port %q, which the container does not name", p.Get.Port)
						}
					}
				}
			}
			if configurations == 0 || probes == 0 {
				t.Errorf("%d configurations, %d probes", configurations, probes)
			}
		})
	}
}

func manifests(t *testing.T, file string) (all []manifest) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(readFile(t, file)))
	for {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}
