package daemon

import (
	"crypto/tls"
	"os"
	"runtime"
	"time"

	"leasehold/internal/config"
)

// expiresSoon is when a certificate is warned about.
const expiresSoon = 30 * 24 * time.Hour

// pair looks at a certificate and its key.
func (c *check) pair(certAt, keyAt config.Problem, certFile, keyFile string) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		c.fail(certAt, "give a PEM file that Leasehold may read", "the certificate: %v", err)
	}
	key, keyErr := os.ReadFile(keyFile)
	if keyErr != nil {
		c.fail(keyAt, "give a PEM file that Leasehold may read", "the key: %v", keyErr)
	} else {
		c.keyMode(keyAt, keyFile)
	}
	if err != nil || keyErr != nil {
		return
	}
	if encryptedKey(key) {
		c.fail(keyAt, "store the key without a passphrase, for example with openssl pkey", "the key %s is encrypted", keyFile)
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		c.fail(certAt, "give a PEM certificate and its own key", "%s and %s are no pair: %v", certFile, keyFile, err)
		return
	}
	const renew = "renew it"
	switch begin, end := pair.Leaf.NotBefore, pair.Leaf.NotAfter; {
	case c.now.After(end):
		c.fail(certAt, renew, "the certificate %s ended on %s", certFile, end.UTC().Format(time.RFC3339))
	case c.now.Before(begin):
		c.fail(certAt, "wait, or set the clock", "the certificate %s begins on %s", certFile, begin.UTC().Format(time.RFC3339))
	case end.Sub(c.now) < expiresSoon:
		c.warn(certAt, renew, "the certificate %s ends on %s", certFile, end.UTC().Format(time.RFC3339))
	}
}

// keyMode warns of a key that others than its owner and group may read, or its group write.
func (c *check) keyMode(at config.Problem, path string) {
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 {
		c.warn(at, "chmod 0600, or 0640 for a group", "the key %s has mode %04o", path, info.Mode().Perm())
	}
}
