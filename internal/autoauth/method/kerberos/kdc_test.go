package kerberos_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

const (
	realm    = "EXAMPLE.TEST"
	service  = "HTTP/vault.example:8200"
	password = "of-the-principal"

	aes128 = etypeID.AES128_CTS_HMAC_SHA1_96
	aes256 = etypeID.AES256_CTS_HMAC_SHA1_96
)

// newKeytab makes keys of a principal out of the password.
func newKeytab(t *testing.T, principal, password string, kvno uint8, encTypes ...int32) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	for _, e := range encTypes {
		if err := kt.AddEntry(principal, realm, password, time.Now(), kvno, e); err != nil {
			t.Fatal(err)
		}
	}
	return kt
}

// kdc is a stand-in of one realm, over TCP. The tests with a real one are in test/e2e.
type kdc struct {
	address string
	clients *keytab.Keytab // of who may log in
	servers *keytab.Keytab // of the KDC itself and of Vault
	// spoil, if set, answers in its place; a nil answer means that none comes.
	spoil func(request []byte) []byte

	asked atomic.Int32 // connections
	mu    sync.Mutex
	fast  []bool              // :: per request for a ticket-granting ticket → FAST was offered
	key   types.EncryptionKey // of the last ticket-granting ticket
}

// startKDC knows the principal with keys of these encryption types.
func startKDC(t *testing.T, principal string, encTypes ...int32) *kdc {
	t.Helper()
	k := &kdc{clients: newKeytab(t, principal, password, 3, encTypes...), servers: newKeytab(t, service, "of-vault", 1, aes256)}
	k.servers.Entries = append(k.servers.Entries, newKeytab(t, "krbtgt/"+realm, "of-the-kdc", 1, aes256).Entries...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.address = ln.Addr().String()
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			k.asked.Add(1)
			running.Go(func() { k.serve(c, over) })
		}
	})
	t.Cleanup(func() { close(over); ln.Close(); running.Wait() })
	return k
}

func (k *kdc) serve(c net.Conn, over chan struct{}) {
	defer c.Close()
	size := make([]byte, 4)
	if _, err := io.ReadFull(c, size); err != nil {
		return
	}
	request := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(c, request); err != nil {
		return
	}
	var answer []byte
	if k.spoil != nil {
		answer = k.spoil(request)
	} else {
		answer = k.answer(request)
	}
	if answer == nil {
		<-over
		return
	}
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
}

func (k *kdc) answer(request []byte) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	var as messages.ASReq
	if as.Unmarshal(request) == nil {
		return k.grantTicket(as)
	}
	var tgs messages.TGSReq
	if tgs.Unmarshal(request) != nil {
		return refusal(errorcode.KRB_AP_ERR_MSG_TYPE, nil)
	}
	reply, err := k.reply(tgs.KDCReqFields, k.key, keyusage.TGS_REP_ENCPART_SESSION_KEY, 0)
	if err != nil {
		return refusal(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, nil)
	}
	reply.MsgType = msgtype.KRB_TGS_REP
	b, _ := (&messages.TGSRep{KDCRepFields: reply}).Marshal()
	return b
}

// grantTicket wants preauthentication with a key of the first type that the client asks for and has.
func (k *kdc) grantTicket(as messages.ASReq) []byte {
	k.fast = append(k.fast, as.PAData.Contains(patype.PA_REQ_ENC_PA_REP))
	var key types.EncryptionKey
	for _, e := range as.ReqBody.EType {
		if found, _, err := k.clients.GetEncryptionKey(as.ReqBody.CName, as.ReqBody.Realm, 0, e); err == nil {
			key = found
			break
		}
	}
	if key.KeyType == 0 {
		return refusal(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, nil)
	}
	i := slices.IndexFunc(as.PAData, func(pa types.PAData) bool { return pa.PADataType == patype.PA_ENC_TIMESTAMP })
	if i < 0 {
		return refusal(errorcode.KDC_ERR_PREAUTH_REQUIRED, types.ETypeInfo2{{EType: key.KeyType}})
	}
	var stamp types.EncryptedData
	if stamp.Unmarshal(as.PAData[i].PADataValue) != nil {
		return refusal(errorcode.KDC_ERR_PREAUTH_FAILED, nil)
	}
	if _, err := crypto.DecryptEncPart(stamp, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP); err != nil || stamp.EType != key.KeyType {
		return refusal(errorcode.KDC_ERR_PREAUTH_FAILED, types.ETypeInfo2{{EType: key.KeyType}})
	}
	reply, err := k.reply(as.KDCReqFields, key, keyusage.AS_REP_ENCPART, 3)
	if err != nil {
		return refusal(errorcode.KRB_ERR_GENERIC, nil)
	}
	reply.MsgType, reply.CName = msgtype.KRB_AS_REP, as.ReqBody.CName
	b, _ := (&messages.ASRep{KDCRepFields: reply}).Marshal()
	return b
}

// reply makes a ticket and tells its session key, sealed with key.
func (k *kdc) reply(q messages.KDCReqFields, key types.EncryptionKey, usage uint32, kvno int) (messages.KDCRepFields, error) {
	now := time.Now().UTC().Truncate(time.Second)
	end := now.Add(time.Hour)
	flags := asn1.BitString{Bytes: make([]byte, 4), BitLength: 32}
	client := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, k.clients.Entries[0].Principal.Components[0])
	client.NameString = k.clients.Entries[0].Principal.Components
	ticket, session, err := messages.NewTicket(client, realm, q.ReqBody.SName, realm, flags, k.servers, aes256, 1, now, now, end, end)
	if err != nil {
		return messages.KDCRepFields{}, err
	}
	part := messages.EncKDCRepPart{
		Key: session, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: q.ReqBody.Nonce, Flags: flags,
		AuthTime: now, StartTime: now, EndTime: end, RenewTill: end, SRealm: realm, SName: q.ReqBody.SName,
	}
	plain, err := part.Marshal()
	if err != nil {
		return messages.KDCRepFields{}, err
	}
	sealed, err := crypto.GetEncryptedData(plain, key, usage, kvno)
	if q.ReqBody.SName.NameString[0] == "krbtgt" {
		k.key = session
	}
	return messages.KDCRepFields{PVNO: 5, CRealm: realm, CName: client, Ticket: ticket, EncPart: sealed}, err
}

// refusal is a KDC's error. Info, if any, says which keys it would take.
func refusal(code int32, info types.ETypeInfo2) []byte {
	e := messages.NewKRBError(types.NewPrincipalName(nametype.KRB_NT_SRV_INST, "krbtgt/"+realm), realm, code, "")
	if info != nil {
		value, _ := asn1.Marshal(info)
		e.EData, _ = asn1.Marshal(types.PADataSequence{{PADataType: patype.PA_ETYPE_INFO2, PADataValue: value}})
	}
	b, _ := e.Marshal()
	return b
}

// files writes a keytab and a krb5.conf that leads to the KDC. Lines go into [libdefaults].
func files(t *testing.T, kt *keytab.Keytab, address string, lines ...string) (keytabPath, confPath string) {
	t.Helper()
	dir := t.TempDir()
	keytabPath, confPath = filepath.Join(dir, "app.keytab"), filepath.Join(dir, "krb5.conf")
	b, err := kt.Marshal()
	conf := fmt.Sprintf("includedir /etc/krb5.conf.d/\n[libdefaults]\n udp_preference_limit = 1\n %s\n[realms]\n %s = {\n  kdc = %s\n }\n", strings.Join(lines, "\n "), realm, address)
	if err := errors.Join(err, os.WriteFile(keytabPath, b, 0o600), os.WriteFile(confPath, []byte(conf), 0o600)); err != nil {
		t.Fatal(err)
	}
	return keytabPath, confPath
}
