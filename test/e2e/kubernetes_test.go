package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// cluster is a stand-in for the one thing that Vault asks of Kubernetes: who is this token?
type cluster struct {
	*httptest.Server
	signer signer

	mu    sync.Mutex
	knows map[string]string // :: service account token → name of the account, in the namespace "shop"
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{signer: newSigner(t), knows: map[string]string{}}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(c.review))
	t.Cleanup(c.Close)
	return c
}

// review answers a TokenReview of authentication.k8s.io/v1.
func (c *cluster) review(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Spec struct {
			Token     string
			Audiences []string
		}
	}
	if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || r.Header.Get("Authorization") != "Bearer of-the-reviewer" ||
		json.NewDecoder(r.Body).Decode(&asked) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	c.mu.Lock()
	account, ok := c.knows[asked.Spec.Token]
	c.mu.Unlock()
	status := map[string]any{"authenticated": false}
	if ok {
		status = map[string]any{"authenticated": true, "audiences": asked.Spec.Audiences, "user": map[string]any{
			"username": "system:serviceaccount:shop:" + account, "uid": "uid-of-" + account, "groups": []string{"system:serviceaccounts"},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}

// token makes a service account token as Kubernetes projects it. With known, the cluster accepts it.
func (c *cluster) token(t *testing.T, account string, known bool) string {
	t.Helper()
	now := time.Now()
	jwt := c.signer.sign(t, map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:" + account, "aud": []string{"vault"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": account, "uid": "uid-of-" + account}},
	})
	if known {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.knows[jwt] = account
	}
	return jwt
}

// mountKubernetes mounts the real Kubernetes auth method, with a role "app" for two accounts.
func mountKubernetes(t *testing.T, c *cluster, policies ...string) (mount string) {
	t.Helper()
	return mountAuth(t, shared, "kubernetes", map[string]map[string]any{
		"config": {
			"kubernetes_host": c.URL, "token_reviewer_jwt": "of-the-reviewer", "disable_local_ca_jwt": true, "disable_iss_validation": true,
			"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})),
		},
		"role/app": {
			"bound_service_account_names": "web,web-2", "bound_service_account_namespaces": "shop", "audience": "vault", "token_policies": policies,
		},
	})
}

func kubernetesStanza(mount, file string) string {
	return methodStanza("kubernetes", mount, `role = "app"`, fmt.Sprintf("token_path = %q", file))
}

// project does what the kubelet does with a projected token: the volume's link ..data leads to another directory.
func project(t *testing.T, volume, version, token string) {
	t.Helper()
	dir := filepath.Join(volume, "..v"+version)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "token"), token, 0o600)
	temp := filepath.Join(volume, "..data_tmp")
	if err := os.Symlink(filepath.Base(dir), temp); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(volume, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestKubernetesLogin(t *testing.T) {
	c := startCluster(t)
	mount := mountKubernetes(t, c, newPolicy(t, shared, "leaser/creds/auto: read"))
	volume, sink := t.TempDir(), filepath.Join(t.TempDir(), "token")
	project(t, volume, "1", c.token(t, "web", true))
	file := filepath.Join(volume, "token")
	if err := os.Symlink(filepath.Join("..data", "token"), file); err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, vaultStanza(shared.Address)+withSink(kubernetesStanza(mount, file), sink)+injectToken+listenerStanza())
	first := sunk(t, sink, "")
	if got := tokenAt(t, shared, first, mount)["service_account_name"]; got != "web" {
		t.Errorf("the token is of the account %v, want web", got)
	}
	if got := p.whoAmI(t); got != "auto" {
		t.Errorf("the token is that of %q, want the role's", got)
	}
	project(t, volume, "2", c.token(t, "web-2", true))
	if got := tokenAt(t, shared, sunk(t, sink, first), mount)["service_account_name"]; got != "web-2" {
		t.Errorf("the new token is of the account %v, want web-2", got)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the service account token is not ours to remove: %v", err)
	}
}

func TestKubernetesRefusal(t *testing.T) {
	c := startCluster(t)
	mount := mountKubernetes(t, c)
	for what, token := range map[string]string{"unknown to the cluster": c.token(t, "web", false), "of an account without the role": c.token(t, "intruder", true)} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			writeFile(t, file, token, 0o600)
			p := launch(t, vaultStanza(shared.Address)+kubernetesStanza(mount, file)+injectToken+listenerStanza())
			p.waitLog(t, "Vault refused the login at "+mount+"/login (403: ")
			p.waitLog(t, `; check that the role \"app\" takes this service account`)
			replaceFile(t, file, c.token(t, "web", true))
			p.waitLog(t, "msg=ready")
		})
	}
}
