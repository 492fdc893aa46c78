package upstream

// Kept is how many bytes c keeps of all uploads.
func (c *Client) Kept() int64 { return c.kept.taken.Load() }

// Fill takes memory until only left bytes more can be kept of uploads.
func (c *Client) Fill(left int) { c.kept.take(maxReplayMemory - left) }

// ReloadTLS is what Run does from time to time.
func (c *Client) ReloadTLS() { c.reloadTLS() }
