package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

const (
	killClients  = 6 // under load
	killCheckers = 4 // connections that ask for everything after a restart

	// They bound how much there is to ask for.
	killNames      = 80 // in leaser/creds, for the token of auto-auth
	killChildNames = 8  // for each child token
	killChildren   = 5  // child tokens, each of which may have one below
)

// The process is killed again and again under load, sometimes before it is ready. Whatever a client was told of holds after each restart: a lease or
// token that Vault still has is a hit, with the same bytes, and what was revoked is none. There is one login in all.
func TestKillLoop(t *testing.T) {
	l := newKillLoop(t)
	rounds := fromEnv(t, "LEASEHOLD_KILL_ROUNDS", 50)
	if withRace {
		rounds = min(rounds, 12)
	}
	seed := uint64(fromEnv(t, "LEASEHOLD_KILL_SEED", int(time.Now().UnixNano())))
	t.Logf("LEASEHOLD_KILL_SEED=%d", seed)
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { l.round(t, seed, round) })
	}
	t.Run("end", l.end)
	c := l.world.counts
	t.Logf("%d rounds: %+v", rounds, c)
	// About a third of what a run has, so that no choice of the random moments fails it.
	for what, ok := range map[string]bool{
		"kills with requests under way": c.underWay >= rounds/2,
		"hits verified":                 c.hits >= 20*rounds,
		"revocations verified":          c.revoked >= 10*rounds,
		"unanswered revocations":        c.openGone+c.openHit >= rounds/2,
	} {
		if !ok {
			t.Errorf("too few %s: %+v", what, c)
		}
	}
}

// The process dies after Vault has carried out a revocation and before anybody knows. What Vault has taken back is not a hit after the restart either.
func TestKilledWhileVaultRevokes(t *testing.T) {
	l := newKillLoop(t)
	for title, revoke := range map[string]func(*killClient){
		"lease": (*killClient).revokeLease, "prefix": (*killClient).revokePrefix, "token": (*killClient).revokeToken,
	} {
		t.Run(title, func(t *testing.T) {
			p := startProxy(t, l.hcl)
			l.verify(t, p)
			c := l.client(t, p, rand.New(rand.NewPCG(0, 0)))
			c.read(l.world.request(creation(title, nil)))
			c.read(l.world.request(child(title, nil)))
			c.read(l.world.request(creation(title, c.pick(isToken))))
			l.arm(acted, 1).aim(p)
			revoke(c)
			l.disarm(t)
			p = startProxy(t, l.hcl)
			l.verify(t, p)
			p.stop(t)
		})
	}
}

// killLoop is a Vault, a state file, and what was ever told through one process after the other.
type killLoop struct {
	vault *realvault.Server
	role  appRole
	dir   string
	hcl   string
	world world

	killer atomic.Pointer[killer]
	busy   atomic.Int64 // requests at Vault
}

func newKillLoop(t *testing.T) *killLoop {
	t.Helper()
	l := &killLoop{dir: t.TempDir(), world: world{byKey: map[string]*request{}, byID: map[string]*grant{}, names: map[string]*gate{}}}
	var err error
	l.vault, err = startVault(realvault.Options{AuditFile: filepath.Join(t.TempDir(), "audit.log"), Wrap: l.watch})
	if err != nil {
		t.Fatal(err)
	}
	remember(l.vault.RootToken, l.vault.UnsealKey)
	t.Cleanup(func() {
		if err := l.vault.Close(); err != nil {
			t.Error(err)
		}
	})
	l.role = newAppRole(t, l.vault, newPolicy(t, l.vault, "leaser/*: read", "sys/leases/*: update, sudo", "auth/token/create: update", "auth/token/revoke-accessor: update"))
	role, c := "auth/approle/role/"+l.role.Name, l.vault.Client().Logical()
	if _, err := c.Write(role, map[string]any{"secret_id_num_uses": 1}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Write(role+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	once := s.Data["secret_id"].(string)
	remember(once)
	if err := os.WriteFile(l.role.SecretIDFile, []byte(once), 0o600); err != nil {
		t.Fatal(err)
	}
	l.hcl = persistent(l.vault.Address, l.role, l.dir)
	return l
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// moment is where a request may be when the process is killed.
type moment int

const (
	begun    moment = iota // a client is about to send it
	arrived                // Vault has it, and has done nothing
	acted                  // Vault has done as asked, and its answer has not left
	answered               // the client has read the whole answer
	moments
)

// killer kills one process when so many requests have come to one moment.
type killer struct {
	p      *proxy
	target chan *proxy // holds p, which may be launched after its killer is there
	at     moment
	left   atomic.Int64
	struck atomic.Bool  // set before the process is killed
	lost   atomic.Int64 // requests that were under way
}

func (k *killer) pass(m moment) {
	if k == nil || m != k.at || k.left.Add(-1) != 0 {
		return
	}
	p := <-k.target
	k.struck.Store(true)
	_ = p.cmd.Process.Kill() // only fails when the process has ended, which disarm notices
	<-p.exited
}

// arm has the next process that is aimed at killed.
func (l *killLoop) arm(at moment, after int64) *killer {
	k := &killer{target: make(chan *proxy, 1), at: at}
	k.left.Store(after)
	l.killer.Store(k)
	return k
}

func (k *killer) aim(p *proxy) {
	k.p = p
	k.target <- p
}

// disarm waits until the process has been killed, and Vault is done with what it had been sent.
func (l *killLoop) disarm(t *testing.T) {
	t.Helper()
	k := l.killer.Load()
	eventually(t, "the process is killed, and Vault has nothing left to do", func() bool {
		select {
		case <-k.p.exited:
			return l.busy.Load() == 0
		default:
			return false
		}
	})
	if !k.struck.Load() {
		t.Fatal("the process ended by itself")
	}
	l.killer.Store(nil)
	l.world.counts.kills++
	if k.lost.Load() > 0 {
		l.world.counts.underWay++
	}
}

// watch has the killer see what comes to Vault. An answer as small as these does not leave before its handler returns.
func (l *killLoop) watch(core http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Add(-1)
		k := l.killer.Load()
		k.pass(arrived)
		core.ServeHTTP(w, r)
		k.pass(acted)
	})
}

// round starts the process, asks for all that was told before, and kills it under load.
func (l *killLoop) round(t *testing.T, seed uint64, round int) {
	rnd := rand.New(rand.NewPCG(seed, uint64(round)))
	if round > 0 && rnd.IntN(5) == 0 { // the first login is not to be lost: there is no second
		l.arm(arrived+moment(rnd.IntN(2)), 1).aim(launch(t, l.hcl)) // at the look-up of its token
		l.disarm(t)
		l.world.counts.starting++
	}
	p := startProxy(t, l.hcl)
	if round > 0 {
		l.wantRestored(t, p)
	}
	l.verify(t, p)
	k := l.arm(moment(rnd.IntN(int(moments))), 15+rnd.Int64N(185))
	k.aim(p)
	var load sync.WaitGroup
	for n := range killClients {
		c := l.client(t, p, rand.New(rand.NewPCG(seed, uint64(round*killClients+n)<<32)))
		load.Go(func() {
			for !k.struck.Load() && !c.failed {
				c.step()
			}
		})
	}
	load.Wait()
	l.disarm(t)
}

var restored = regexp.MustCompile(`msg="cache restored" entries=\d+ tokens=\d+ expired=(\d+) orphaned=(\d+) unreadable=(\d+)`)

// wantRestored checks that the restart had no reason to leave anything out. Only a token's revocation that nobody knows the outcome of gives one.
func (l *killLoop) wantRestored(t *testing.T, p *proxy) {
	t.Helper()
	m := restored.FindStringSubmatch(p.log.String())
	if m == nil {
		t.Error("the log does not tell what was restored")
		return
	}
	if !l.world.open && (m[1] != "0" || m[2] != "0" || m[3] != "0") {
		t.Errorf("the restart left something out: %s", m[0])
	}
}

// end is the last kill's aftermath: the file is whole and tells no secret, all that was told holds once more, and a stop in order tidies up.
func (l *killLoop) end(t *testing.T) {
	file := filepath.Join(l.dir, "leasehold.db")
	l.wantSecretless(t, file, file+".wal")
	config := filepath.Join(l.dir, "proxy.hcl")
	if err := os.WriteFile(config, []byte(l.hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	inspection := start(t, []string{"state", "check", "-config=" + config, file})
	inspection.wantExit(t, 0)
	if out := inspection.log.String(); !strings.Contains(out, "whole, and all of its") {
		t.Errorf("state check: %s", out)
	}
	p := startProxy(t, l.hcl)
	l.wantRestored(t, p)
	l.verify(t, p)
	p.stop(t)
	if _, err := os.Stat(file + ".wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a stop in order the write-ahead file is still there: %v", err)
	}
	l.wantSecretless(t, file)
	logins, err := l.vault.AuditCount(func(e realvault.Entry) bool { return e.Request.Path == "auth/approle/login" })
	if err != nil || logins != 1 {
		t.Errorf("%d logins, %v; want 1", logins, err)
	}
}

func (l *killLoop) wantSecretless(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		if found := seenIn(readFile(t, f)); len(found) > 0 {
			t.Errorf("%d secrets stand in %s in the clear", len(found), filepath.Base(f))
		}
	}
}
