package daemon

import (
	"context"
	"fmt"
	"os/user"
	"strconv"

	"leasehold/internal/config"
	"leasehold/internal/listener"
	"leasehold/internal/router"
)

// rightsOf are the rights of each listener. An error has its place.
func rightsOf(listeners []config.Listener) ([]router.Rights, error) {
	var all []router.Rights
	for _, l := range listeners {
		rights, err := rightsOn(l)
		if err != nil {
			return nil, err
		}
		all = append(all, rights)
	}
	return all, nil
}

// rightsOn turns the names of users and groups into ids, as this machine has them now.
func rightsOn(l config.Listener) (router.Rights, error) {
	rights := router.Rights{Deny: l.Rights.DenyOthers}
	var err error
	if rights.Callers, err = callersOf(l.Pos, l.Rights.Callers); err != nil {
		return router.Rights{}, err
	}
	for _, r := range l.Rights.Rules {
		rule := router.AccessRule{Path: r.Path, Methods: r.Methods, Deny: r.Deny}
		if rule.Callers, err = callersOf(r.Pos, r.Callers); err != nil {
			return router.Rights{}, err
		}
		rights.Rules = append(rights.Rules, rule)
	}
	return rights, nil
}

func callersOf(at config.Pos, c config.Callers) (router.Callers, error) {
	all := router.Callers{CNs: c.ClientCNs, SANs: c.ClientSAN}
	for _, name := range c.Users {
		id, err := accountID(name, func() (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		if err != nil {
			return router.Callers{}, fmt.Errorf("%slistener: there is no user %q on this machine; name one, or give a number", place(at), name)
		}
		all.Users = append(all.Users, id)
	}
	for _, name := range c.Groups {
		id, err := accountID(name, func() (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		if err != nil {
			return router.Callers{}, fmt.Errorf("%slistener: there is no group %q on this machine; name one, or give a number", place(at), name)
		}
		all.Groups = append(all.Groups, id)
	}
	return all, nil
}

func accountID(name string, lookup func() (string, error)) (uint32, error) {
	id, err := strconv.ParseUint(name, 10, 32)
	if err == nil {
		return uint32(id), nil
	}
	text, err := lookup()
	if err != nil {
		return 0, err
	}
	id, err = strconv.ParseUint(text, 10, 32)
	return uint32(id), err
}

// groupsOf are the groups that a process of the user has after a login: the primary one, and those that this machine has the user in. unknown is set where
// not all of them can be had, since a rule may deny by any one.
func groupsOf(uid uint32) (groups []uint32, unknown bool) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil, true
	}
	more, err := u.GroupIds()
	if err != nil {
		return nil, true
	}
	for _, text := range append(more, u.Gid) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil { // Windows
			return nil, true
		}
		groups = append(groups, uint32(id))
	}
	return groups, false
}

// peerOf is what the router asks about a connection.
func peerOf(ctx context.Context) (uid uint32, groups []uint32, ok bool) {
	p, ok := listener.PeerOf(ctx)
	return p.UID, p.Groups, ok
}
