package aws

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// source gives the credentials in force, from any goroutine.
type source interface {
	current(ctx context.Context) (aws.Credentials, error)
}

func newSource(o IAMOptions) (source, error) {
	switch {
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return nil, errors.New("access_key and secret_key belong together; set both, or neither to let AWS's own places be searched")
	case o.SessionToken != "" && o.AccessKey == "":
		return nil, errors.New("session_token is of no use without keys; set access_key and secret_key as well, or remove it")
	case o.AccessKey != "":
		return static{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey, SessionToken: o.SessionToken}, nil
	}
	return &chain{region: o.Region}, nil
}

type static aws.Credentials

func (s static) current(context.Context) (aws.Credentials, error) { return aws.Credentials(s), nil }

// chain searches the places of every AWS SDK, again each time: files and metadata change. Sessions that STS has granted are kept until they are about to
// expire, for a new one would always look like other credentials.
type chain struct {
	region string // of the STS that grants sessions, unless the environment or a file says otherwise

	mu       sync.Mutex              // guards the rest, and is never held while anything is waited for
	settings []any                   // what the environment and the files said for kept
	kept     aws.CredentialsProvider // the last that had credentials, with its cache; nil before the first
}

// current returns credentials. When none are found, those of before do as long as they have not expired: a file may be half written, the metadata away.
func (c *chain) current(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	kept, before := c.kept, c.settings
	c.mu.Unlock()
	found, settings, err := c.search(ctx)
	if err == nil {
		if kept != nil && reflect.DeepEqual(settings, before) && !rereadable(found) {
			found = kept
		}
		var creds aws.Credentials
		if creds, err = retrieve(ctx, found); err == nil {
			c.mu.Lock()
			c.kept, c.settings = found, settings
			c.mu.Unlock()
			return creds, nil
		}
	}
	if kept != nil {
		if creds, e := retrieve(ctx, kept); e == nil {
			return creds, nil
		}
	}
	return aws.Credentials{}, err
}

// retrieve returns when p has ended all that it does. The SDK's cache gives up waiting when ctx ends, and asks on in a goroutine: caller ends its requests, and
// the second call waits for it.
func retrieve(ctx context.Context, p aws.CredentialsProvider) (aws.Credentials, error) {
	ctx = context.WithValue(ctx, caller{}, ctx)
	creds, err := p.Retrieve(ctx)
	if ctx.Err() != nil {
		_, _ = p.Retrieve(context.WithoutCancel(ctx))
	}
	return creds, err
}

func (c *chain) search(ctx context.Context) (aws.CredentialsProvider, []any, error) {
	cfg, err := load(ctx, config.WithDefaultRegion(c.region))
	if err != nil {
		return nil, nil, err
	}
	var settings []any
	for _, s := range cfg.ConfigSources {
		switch s.(type) {
		case config.EnvConfig, config.SharedConfig:
			settings = append(settings, s)
		}
	}
	return cfg.Credentials, settings, nil
}

// rereadable reports whether asking p twice gives the same credentials until they rotate.
func rereadable(p aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(p, (*ec2rolecreds.Provider)(nil)) || aws.IsCredentialsProvider(p, (*endpointcreds.Provider)(nil))
}

// reason leaves out of an error what may be secret: the output of a credential process, and what an endpoint has answered, but for its code.
func reason(err error) error {
	var process *processcreds.ProviderError
	var refused smithy.APIError
	var answer *smithyhttp.ResponseError
	switch {
	case errors.As(err, &process):
		return errors.New("the credential_process of the shared files gave none")
	case errors.As(err, &refused) && refused.ErrorCode() != "":
		return fmt.Errorf("%s was answered with %s", operation(err), refused.ErrorCode())
	case errors.As(err, &answer):
		return fmt.Errorf("%s was answered with status %d", operation(err), answer.HTTPStatusCode())
	case errors.As(err, &refused):
		return fmt.Errorf("%s was answered with an error", operation(err))
	}
	return err
}

func operation(err error) string {
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return "a request"
	}
	return op.Service() + " " + op.Operation()
}
