package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"leasehold/internal/api"
)

const clearUsage = `usage: leasehold clear [-namespace=NS] [-json] [flags] all
       leasehold clear [...] path PATH | lease LEASE | accessor ACCESSOR
       leasehold clear [...] token < FILE

clear has a running Leasehold forget what it holds, without revoking it: all, what was created at a path and below it, a lease, or a token with all that
hangs on it. A LEASE is a lease id, or what leasehold leases has under ID; an ACCESSOR may be what it has under TOKEN. Later requests are cached as before. A token is read from standard input, since other users see the arguments of a command. It ends with 0
when something was forgotten, 2 when nothing was, and 1 when Leasehold cannot be asked.
`

// clearTypes are the words of the command line for those of the endpoint.
var clearTypes = map[string]string{"all": "all", "path": "request_path", "lease": "lease", "accessor": "token_accessor", "token": "token"}

// clearCache runs `leasehold clear`.
func clearCache(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newAskFlags("clear", clearUsage, stderr)
	namespace := set.String("namespace", "", "the namespace of a path; the root by default")
	rest, err := parseMixed(set, args)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	q, ok := clearOf(rest)
	if !ok {
		set.Usage()
		return errUsage
	}
	q.Namespace = *namespace
	if q.Type == "token" {
		if q.Value, err = firstLine(os.Stdin); err != nil {
			return err
		}
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	gone, err := c.Clear(ctx, q)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(stdout, struct {
			Cleared int `json:"cleared"`
		}{gone})
	} else {
		_, err = fmt.Fprintf(stdout, "entries forgotten: %d\n", gone)
	}
	if err == nil && gone == 0 {
		err = errNo
	}
	return err
}

func clearOf(args []string) (q api.Clear, ok bool) {
	if len(args) == 0 {
		return q, false
	}
	q.Type = clearTypes[args[0]]
	switch q.Type {
	case "":
		return q, false
	case "all", "token":
		return q, len(args) == 1
	}
	if len(args) != 2 || args[1] == "" {
		return q, false
	}
	if q.Value = args[1]; q.Type == "request_path" && !strings.HasPrefix(q.Value, "/v1/") {
		q.Value = "/v1/" + strings.TrimPrefix(strings.TrimPrefix(q.Value, "/"), "v1/")
	}
	return q, true
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 1<<20)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("no token came on standard input; write for example: leasehold clear token < FILE")
		}
		return "", err
	}
	return line, nil
}
