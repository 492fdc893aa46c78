package kerberos

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// maxSize is far above any keytab or krb5.conf: a larger file is a wrong path.
const maxSize = 1 << 20

// prepare reads the files of a login.
func (m *Method) prepare() (ticket, error) {
	keys, err := m.readKeytab()
	if err != nil {
		return ticket{}, err
	}
	if len(keys.types) == 0 {
		return ticket{}, fmt.Errorf("the keytab has no key of %s; write one to %s, or correct username or realm", m.name(), m.principal.Keytab)
	}
	conf, err := readConf(m.krb5Conf)
	if err != nil {
		return ticket{}, err
	}
	// The KDC picks one of the encryption types that it is offered: what there is no key for must not be among them.
	allowed := conf.LibDefaults.DefaultTktEnctypeIDs
	conf.LibDefaults.DefaultTktEnctypeIDs = slices.DeleteFunc(slices.Clone(allowed), func(t int32) bool { return !slices.Contains(keys.types, t) })
	if len(conf.LibDefaults.DefaultTktEnctypeIDs) == 0 {
		return ticket{}, fmt.Errorf("the keys of %s in the keytab are of encryption types that default_tkt_enctypes does not allow; "+
			"write a key of another type to %s, or correct %s", m.name(), m.principal.Keytab, m.krb5Conf)
	}
	m.uses(keys.sum)
	return ticket{principal: m.principal, service: m.service, keys: keys.keytab, conf: conf, noFAST: m.opts.DisableFAST}, nil
}

func (m *Method) name() string { return m.principal.Username + "@" + m.principal.Realm }

// keys are a whole keytab.
type keys struct {
	keytab *keytab.Keytab
	types  []int32 // the encryption types of our principal's keys
	sum    [sha256.Size]byte
}

func (m *Method) readKeytab() (keys, error) {
	path := m.principal.Keytab
	content, err := read(path)
	if err != nil {
		return keys{}, fmt.Errorf("read the keytab: %w; write it to %s", err, path)
	}
	k := keys{keytab: keytab.New(), sum: sha256.Sum256(content)}
	if k.keytab.Unmarshal(content) != nil {
		// Its error quotes the file, keys included.
		return keys{}, fmt.Errorf("read the keytab: it is damaged, or no keytab; write a new one to %s", path)
	}
	name := strings.Split(m.principal.Username, "/")
	for _, e := range k.keytab.Entries {
		if e.Principal.Realm == m.principal.Realm && slices.Equal(e.Principal.Components, name) {
			k.types = append(k.types, e.Key.KeyType)
		}
	}
	return k, nil
}

func readConf(path string) (*config.Config, error) {
	content, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("read krb5.conf: %w; write it to %s", err, path)
	}
	conf, err := config.NewFromString(string(content))
	if _, old := errors.AsType[config.UnsupportedDirective](err); err != nil && !old { // old: for Kerberos 4, which nobody asks for
		return nil, fmt.Errorf("read krb5.conf: %w; correct %s", err, path)
	}
	return conf, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file") // opening a pipe would wait for its writer
	case info.Size() > maxSize:
		return nil, fmt.Errorf("larger than %d KiB", maxSize>>10)
	}
	return os.ReadFile(path)
}
