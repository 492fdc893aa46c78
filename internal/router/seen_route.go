package router

import "strings"

// The classes of requests. A class depends on the path alone, so that hits and misses of the same request count side by side. They are for counting:
// what a mount does, no path tells for sure.
const (
	RouteLogin  = "login"  // auth/<mount>/login, of whatever method
	RouteToken  = "token"  // auth/token: create, roles, accessors
	RouteLease  = "lease"  // creds, sts and issue below a mount: what gives leases and certificates
	RouteRenew  = "renew"  // of tokens and of leases
	RouteRevoke = "revoke" // likewise
	RouteLookup = "lookup" // likewise
	RouteKV     = "kv"     // data, metadata and the like below a mount: KV version 2
	RouteSys    = "sys"    // all else below sys/
	RouteOther  = "other"
	RouteOwn    = "own" // Leasehold's own endpoints
)

// Routes are all classes, the one for what is none of the others last.
func Routes() []string {
	return []string{RouteLogin, RouteToken, RouteLease, RouteRenew, RouteRevoke, RouteLookup, RouteKV, RouteSys, RouteOwn, RouteOther}
}

// routeOf returns the class of a decoded path. Namespaces may stand in front.
func routeOf(path string) string {
	if isOurs(path) {
		return RouteOwn
	}
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return RouteOther
	}
	var segment string
	for first := true; rest != ""; first = false {
		segment, rest, _ = strings.Cut(rest, "/")
		switch segment {
		case "auth":
			return routeOfAuth(rest)
		case "sys":
			return routeOfSys(rest)
		}
		if first {
			continue // a mount or a namespace, whatever its name
		}
		switch segment {
		case "data", "metadata", "subkeys", "delete", "undelete", "destroy":
			return RouteKV
		case "creds", "sts", "issue":
			return RouteLease
		}
	}
	return RouteOther
}

// routeOfAuth is for what follows auth/.
func routeOfAuth(rest string) string {
	if below, ok := strings.CutPrefix(rest, "token/"); ok {
		if route := routeOfLife(below); route != "" {
			return route
		}
		return RouteToken
	}
	_, rest, _ = strings.Cut(rest, "/") // the mount, which may be called login
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "login" {
			return RouteLogin
		}
	}
	return RouteOther
}

// routeOfSys is for what follows sys/. The forms without leases/ are the deprecated ones.
func routeOfSys(rest string) string {
	if route := routeOfLife(strings.TrimPrefix(rest, "leases/")); route != "" {
		return route
	}
	return RouteSys
}

// routeOfLife knows what may be done with a token or a lease; "" for anything else.
func routeOfLife(rest string) string {
	switch {
	case strings.HasPrefix(rest, "lookup"):
		return RouteLookup
	case strings.HasPrefix(rest, "renew"):
		return RouteRenew
	case strings.HasPrefix(rest, "revoke"):
		return RouteRevoke
	}
	return ""
}
