package main

import (
	"crypto/ecdh"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"leasehold/internal/autoauth/sink/encrypted"
	"leasehold/internal/secretfile"
)

const sinkUsage = `usage: leasehold sink decrypt -key=FILE [-derive-key] [-aad=TEXT | -aad-env=NAME] SINKFILE
       leasehold sink keygen -private=FILE -public=FILE

decrypt prints what is in an encrypted sink, the token or the JSON of a wrapping token, and nothing else. The key is the private one to the sink's
dh_path; -derive-key and the AAD are as the sink has them. keygen makes a pair of keys: the public one is for dh_path, the private one for decrypt.
`

// sink runs `leasehold sink`.
func sink(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "decrypt":
			return decryptSink(args[1:], stdout, stderr)
		case "keygen":
			return makeSinkKey(args[1:], stderr)
		}
	}
	_, _ = fmt.Fprint(stderr, sinkUsage)
	return errUsage
}

func sinkFlags(name string, stderr io.Writer) *flag.FlagSet {
	set := flag.NewFlagSet("leasehold sink "+name, flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { _, _ = fmt.Fprint(stderr, sinkUsage) }
	return set
}

func decryptSink(args []string, stdout, stderr io.Writer) error {
	set := sinkFlags("decrypt", stderr)
	keyFile := set.String("key", "", "the client's private key")
	derive := set.Bool("derive-key", false, "as derive_key of the sink")
	aad := set.String("aad", "", "as aad of the sink")
	aadEnv := set.String("aad-env", "", "as aad_env_var of the sink")
	files, err := parseMixed(set, args)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	switch {
	case len(files) != 1 || *keyFile == "":
		set.Usage()
		return errUsage
	case *aad != "" && *aadEnv != "":
		return errors.New("-aad and -aad-env are both given; leave one out")
	case *aadEnv != "":
		*aad = os.Getenv(*aadEnv)
	}
	content, err := encrypted.ReadFile(*keyFile)
	if err != nil {
		return fmt.Errorf("the private key: %w; name the file that belongs to the sink's dh_path", err)
	}
	key, err := encrypted.ParsePrivate(content)
	if err != nil {
		return fmt.Errorf("private key %s: %w", *keyFile, err)
	}
	content, err = encrypted.ReadFile(files[0])
	if err != nil {
		return fmt.Errorf("the sink: %w; name the file at path of the sink, once Leasehold has written it", err)
	}
	plain, err := encrypted.Open(content, key, encrypted.Options{DeriveKey: *derive, AAD: []byte(*aad)})
	if err != nil {
		return fmt.Errorf("sink %s: %w", files[0], err)
	}
	_, err = stdout.Write(plain)
	return err
}

func makeSinkKey(args []string, stderr io.Writer) error {
	set := sinkFlags("keygen", stderr)
	private := set.String("private", "", "the file for the client's private key")
	public := set.String("public", "", "the file for dh_path")
	if rest, err := parseMixed(set, args); err != nil {
		return errors.Join(errUsage, err)
	} else if len(rest) > 0 || *private == "" || *public == "" {
		set.Usage()
		return errUsage
	}
	key, err := encrypted.NewKey()
	if err != nil {
		return err
	}
	return writePair(key, *private, *public)
}

// writePair writes both files or none. It replaces none: a sink goes on encrypting for the key that it has read.
func writePair(key *ecdh.PrivateKey, private, public string) error {
	own, err := encrypted.EncodePrivate(key)
	if err != nil {
		return err
	}
	forSink, err := encrypted.EncodePublic(key.PublicKey())
	if err != nil {
		return err
	}
	if err := writeNew(private, own, 0o600); err != nil {
		return err
	}
	if err := writeNew(public, forSink, 0o644); err != nil {
		return errors.Join(err, os.Remove(private))
	}
	return nil
}

// writeNew makes a file with exactly this mode, and leaves none after an error.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	open := secretfile.OpenFile
	if mode&0o004 != 0 {
		open = os.OpenFile
	}
	f, err := open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; choose another path, or remove it and restart Leasehold, which keeps to the first key that it reads", path)
	}
	if err != nil {
		return fmt.Errorf("%w; choose a path that can be written", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
