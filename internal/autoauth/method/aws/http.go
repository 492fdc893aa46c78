package aws

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"leasehold/internal/autoauth/cloud"
)

const (
	exchange = 10 * time.Second // one request with its answer
	maxBody  = 1 << 20          // far above any answer that is one
)

// load reads AWS's environment variables and shared files. Clients made of the result ask metadata directly and bound what they read.
func load(ctx context.Context, more ...func(*config.LoadOptions) error) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTimeout(exchange).WithTransportOptions(func(t *http.Transport) {
		t.Proxy = cloud.Proxy
		t.DisableKeepAlives = true // a request a minute keeps no connection
	})
	return config.LoadDefaultConfig(ctx, append(more,
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}), // else it writes to standard error, past our log; what matters is in errors
		config.WithAPIOptions([]func(*middleware.Stack) error{bound}),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }), // else a client of its own, with a proxy
	)...)
}

// caller is the key of the context that a request ends with, where the SDK takes the end off the context that it hands down.
type caller struct{}

// bound ends requests with their caller, and answers where they are too long.
func bound(s *middleware.Stack) error {
	return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Bound", func(ctx context.Context, in middleware.DeserializeInput,
		next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		if own, ok := ctx.Value(caller{}).(context.Context); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			context.AfterFunc(own, cancel) // not sooner: the answer is read after this returns
		}
		out, meta, err := next.HandleDeserialize(ctx, in)
		if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r != nil && r.Body != nil {
			r.Body = http.MaxBytesReader(nil, r.Body, maxBody)
		}
		return out, meta, err
	}), middleware.After)
}
