package kerberos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/krberror"
	"github.com/jcmturner/gokrb5/v8/spnego"
)

// ticket is what it takes to get one.
type ticket struct {
	principal Principal
	service   string
	keys      *keytab.Keytab
	conf      *config.Config
	noFAST    bool
}

// negotiate gets a ticket for the service and wraps it for the Authorization header. It looks at ctx before each exchange.
func (t ticket) negotiate(ctx context.Context) (header string, err error) {
	defer func() {
		// The library takes it for granted that lists in answers have a member, and anyone can answer in the KDC's name.
		if recover() != nil {
			err = errMalformed
		}
	}()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	// Preauthentication is not assumed: the KDC's first answer says which key it wants, while the library would guess.
	c := client.NewWithKeytab(t.principal.Username, t.principal.Realm, t.keys, t.conf, client.DisablePAFXFAST(t.noFAST))
	defer c.Destroy() // a login starts a goroutine that renews its ticket
	if err := c.Login(); err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	token, err := spnego.SPNEGOClient(c, t.service).InitSecContext()
	if err != nil {
		return "", err
	}
	b, err := token.Marshal()
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

var errMalformed = errors.New("the KDC's answer is malformed")

// explain says what was asked of the KDC, and what a person can do.
func (m *Method) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // we are asked to stop
	}
	why := err.Error()
	k, ok := errors.AsType[krberror.Krberror](err)
	if ok {
		why = strings.Join(k.EText, ": ")
	}
	if _, words, ok := strings.Cut(why, "KRB Error: "); ok {
		why = "the KDC answered " + words
	}
	return fmt.Errorf("get a ticket of %s for %s: %s; %s", m.name(), m.service, why, m.kdcRemedy(why, ok && k.RootCause == krberror.KDCError))
}

// kdcRemedy is what to do about a conversation that failed. The library has the KDC's codes in its texts only.
func (m *Method) kdcRemedy(why string, answered bool) string {
	says := func(codes ...string) bool {
		return slices.ContainsFunc(codes, func(c string) bool { return strings.Contains(why, c) })
	}
	switch {
	case says("KDC_ERR_C_PRINCIPAL_UNKNOWN", "KDC_ERR_NAME_EXP", "KDC_ERR_CLIENT_REVOKED", "KDC_ERR_KEY_EXPIRED"):
		return "check username and realm, and that the KDC lets the principal log in"
	case says("KDC_ERR_S_PRINCIPAL_UNKNOWN"):
		return "check service: the KDC does not know that principal"
	case says("KDC_ERR_PREAUTH_FAILED", "KRB_AP_ERR_BAD_INTEGRITY", "matching key not found", "keytab incorrect"):
		return "write a keytab with the principal's current key to " + m.principal.Keytab
	case says("KRB_AP_ERR_SKEW", "clock skew"):
		return "set the clock of this machine or of the KDC right"
	case says("KDC_ERR_ETYPE_NOSUPP"):
		return "write a keytab with a key of a type that the KDC supports to " + m.principal.Keytab
	case answered:
		return "see the KDC's log"
	default:
		return fmt.Sprintf("check that a KDC of the realm runs where %s says", m.krb5Conf)
	}
}
