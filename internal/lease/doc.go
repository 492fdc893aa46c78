// Package lease knows which credentials Vault can take back, from whom, and when: it decides from request and answer together what may be
// kept, holds what is kept with the tree of tokens it hangs on, and keeps it alive with one clock.
package lease
