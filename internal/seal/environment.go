package seal

import (
	"fmt"
	"os"
)

// OpenVariable reads the key from an environment variable, which holds the text of a key file. Set but empty is as good as unset.
//
// It is there for places that can hand a secret over in no other way: the environment of a process can be read in /proc by its own
// user, and is inherited and dumped more easily than a file is read.
func OpenVariable(name string) (*Key, error) {
	text := os.Getenv(name)
	if text == "" {
		return nil, fmt.Errorf("environment variable %s: it is not set; set it to a key that `openssl rand -base64 32` made", name)
	}
	secret, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w; set it to a key that `openssl rand -base64 32` made", name, err)
	}
	return NewKey(secret)
}
