package autoauth

import (
	"context"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// inspectWait bounds a look at a token. Nothing waits for it.
const inspectWait = 30 * time.Second

// inspect looks up each token that a login has brought, and logs what Vault says of it: a token may be refused although the login went well, by a node that
// lags behind or in another namespace (openbao/openbao#2888, hashicorp/vault#8534). Nothing depends on it, so that a token without the right is as good.
func (m *Manager) inspect(ctx context.Context) error {
	for {
		select {
		case t := <-m.fresh:
			m.inspectOnce(ctx, t)
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Manager) inspectOnce(ctx context.Context, t vault.Token) {
	ctx, cancel := context.WithTimeout(ctx, inspectWait)
	defer cancel()
	ctx, span := m.begin(ctx, "look up auto-auth token")
	c := m.cleanClient()
	c.SetToken(t.Reveal())
	secret, err := c.Auth().Token().LookupSelfWithContext(ctx)
	var a answer
	if err == nil {
		a, err = readAnswer(secret)
	}
	end(span, err)
	switch {
	case err == nil:
		m.tellOf(a, secret)
	case ctx.Err() != nil:
	case tokenGone(explain(err, "lookup", noRemedy)):
		m.log.Warn("Vault gave a token and does not know it; check the namespace, and that all nodes behind Vault's address are of one cluster",
			"error", explain(err, "lookup", noRemedy), "namespace", m.opts.Namespace)
	default: // most often a policy without auth/token/lookup-self
		m.log.Debug("the token could not be looked up", "error", explain(err, "lookup", noRemedy))
	}
}

// tellOf logs what a lookup says beyond the answer to the login.
func (m *Manager) tellOf(a answer, secret *api.Secret) {
	word := func(key string) string { s, _ := secret.Data[key].(string); return s }
	namespace := word("namespace_path") // Vault Enterprise has it
	log := m.log.With("accessor", a.accessor, "policies", a.policies, "namespace", namespace, "type", word("type"), "entity", word("entity_id"))
	if want := m.opts.Namespace; namespace != "" && vault.CanonicalNamespace(namespace) != want {
		log.Warn("the token is of another namespace than the one configured", "configured", want)
		return
	}
	log.Info("token looked up")
}

// offerToInspect hands a login's token to inspect, unless the login was a lookup, or each use of the token counts.
func (m *Manager) offerToInspect(a answer) {
	if a.lookedUp || a.uses > 0 {
		return
	}
	select {
	case <-m.fresh: // too late for this one
	default:
	}
	m.fresh <- a.token
}
