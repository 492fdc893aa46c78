package e2e

import (
	"net/http"
	"testing"
)

// Real credentials of a real database: the hit gives the same ones, and a revocation through Leasehold ends both the login and the hit.
func TestDatabaseCredentials(t *testing.T) {
	db := startPostgres(t)
	root := shared.Client().Logical()
	for path, data := range map[string]map[string]any{
		"database/config/e2e": {
			"plugin_name": "postgresql-database-plugin", "allowed_roles": "e2e",
			"connection_url": "postgresql://{{username}}:{{password}}@" + db.address + "/postgres?sslmode=disable",
			"username":       superuser, "password": superPassword,
		},
		"database/roles/e2e": {
			"db_name": "e2e", "default_ttl": "10m", "max_ttl": "1h",
			"creation_statements": `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';`,
		},
	} {
		if _, err := root.Write(path, data); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
	}
	p := startCaching(t)
	const path = "/v1/database/creds/e2e"
	first := p.do(t, "GET", path, "").secret(t)
	username, password := first.Data["username"].(string), first.Data["password"].(string)
	if err := db.logIn(t.Context(), username, password); err != nil {
		t.Fatalf("log in to the database: %v", err)
	}
	hit := p.do(t, "GET", path, "")
	if s := hit.secret(t); hit.Header.Get("X-Cache") != "HIT" || s.Data["username"] != username || s.Data["password"] != password {
		t.Errorf("the second read is no hit of the same credentials: %s", hit.Header.Get("X-Cache"))
	}
	if a := p.do(t, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"`+first.LeaseID+`","sync":true}`); a.Status != http.StatusNoContent {
		t.Fatalf("revoke = %d %s", a.Status, a.Body)
	}
	if err := db.logIn(t.Context(), username, password); err == nil {
		t.Error("the revoked credentials still log in")
	}
	if s := p.do(t, "GET", path, "").secret(t); s.Data["username"] == username {
		t.Error("the revoked credentials are still answered")
	} else if err := db.logIn(t.Context(), s.Data["username"].(string), s.Data["password"].(string)); err != nil {
		t.Errorf("the new credentials do not log in: %v", err)
	}
}
