package upstream

import "log/slog"

// terms are what holds for one request from its beginning to its end.
type terms struct {
	Settings
	retries       int
	passRedirects bool // all of them
}

func (c *Client) termsOf(s Settings) (*terms, error) {
	retries, err := s.retries()
	if err != nil {
		return nil, err
	}
	return &terms{Settings: s, retries: retries, passRedirects: s.PassRedirects || c.noRedirects}, nil
}

// Prepare reads the TLS files that s names, and returns what makes the client follow s. Until that is called nothing has changed, and an error, one
// sentence for the operator, means that nothing will. Where Vault is, how often it is looked at, and who is told that it can be reached stay as New
// has them. Requests under way end as they began: under the old settings, on the old connections. Calls are made one after the other; read reports
// whether the files were read again because they, or their names, have changed.
func (c *Client) Prepare(s Settings) (apply func(), read bool, err error) {
	old := &c.terms.Load().Settings
	s.Address, s.Addresses, s.HealthInterval, s.Reached, s.Transport = old.Address, old.Addresses, old.HealthInterval, old.Reached, old.Transport
	fresh, err := c.termsOf(s)
	if err != nil {
		return nil, false, err
	}
	stamp := s.tlsStamp()
	c.reload.Lock()
	stale := stamp != c.tlsStamp
	c.reload.Unlock()
	if !stale && s.connects() == old.connects() {
		return func() { c.terms.Store(fresh) }, false, nil
	}
	pools, err := s.allPools()
	if err != nil {
		return nil, false, err
	}
	return func() {
		c.reload.Lock()
		defer c.reload.Unlock()
		c.tlsStamp = stamp
		c.terms.Store(fresh)
		c.swap(pools)
	}, stale, nil
}

// connects is what pools are made from, beside the environment and what is in the files.
func (s *Settings) connects() any {
	return [...]any{s.CACert, s.CAPath, s.ClientCert, s.ClientKey, s.TLSServerName, s.TLSSkipVerify, s.Proxying, s.AutoAuth}
}

func (s *Settings) allPools() (all []*pools, err error) {
	for _, address := range s.addresses() {
		p, err := s.pools(address)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// swap puts new pools to use. Callers hold reload.
func (c *Client) swap(fresh []*pools) {
	for i, n := range c.nodes.list {
		n.pools.Swap(fresh[i]).close()
	}
}

// reloadTLS makes new pools when a file has changed. When it cannot be used, the old ones stay.
func (c *Client) reloadTLS() {
	c.reload.Lock()
	defer c.reload.Unlock()
	settings := &c.terms.Load().Settings
	stamp := settings.tlsStamp()
	if stamp == c.tlsStamp {
		return
	}
	c.tlsStamp = stamp
	fresh, err := settings.allPools()
	if err != nil {
		c.log.Warn("the TLS files for Vault have changed and cannot be used; going on with what they were", slog.Any("error", err))
		return
	}
	c.swap(fresh)
	c.log.Info("the TLS files for Vault were read again")
}
