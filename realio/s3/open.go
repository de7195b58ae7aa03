package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"xenon/core/env"
)

// A Config says which bucket.
type Config struct {
	Bucket string
	// Region is where the bucket is; "" is what the environment says.
	Region string
	// Endpoint is the URL of a server other than Amazon's; "" is what the
	// environment says (AWS_ENDPOINT_URL_S3), else Amazon's.
	Endpoint string
	// Prefix begins all keys; a slash is added if it has none at its end.
	Prefix string
}

// Bounds of connections. Requests as a whole are bounded by their contexts.
const (
	dialTimeout = 10 * time.Second
	// answerTimeout is how long the first line of an answer may take, once all
	// of a request is sent: a server that is frozen accepts requests, too.
	answerTimeout = 20 * time.Second
	keepIdle      = 64 // connections to the server
	keepFor       = 90 * time.Second
)

// anyRegion is what servers other than Amazon's are told: they take any name.
const anyRegion = "us-east-1"

// Open prepares a bucket for use. It asks the bucket nothing, so one that
// cannot be reached is found out at the first request; but it needs
// credentials: those of the environment (AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY), of the shared files (~/.aws/credentials, AWS_PROFILE),
// or those that the machine is given by its cloud. Without any it fails with
// env.ErrForbidden.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	client := awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = dialTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = answerTimeout
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = keepIdle, keepIdle, keepFor
		t.DisableCompression = true
	})
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(client), config.WithRegion(c.Region),
		// What goes wrong is in errors; the rest is said on nobody's behalf.
		config.WithLogger(logging.Nop{}),
		// Whether a request may be sent again is decided by those who know what
		// it does: package objstore, package register.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	s := &Store{bucket: c.Bucket, prefix: c.Prefix}
	if s.prefix != "" && !strings.HasSuffix(s.prefix, "/") {
		s.prefix += "/"
	}
	s.client = sdk.NewFromConfig(loaded, c.apply)
	if s.client.Options().Region == "" {
		return nil, fmt.Errorf("bucket %s: no region: set bucket_region, or AWS_REGION", c.Bucket)
	}
	if _, err := s.client.Options().Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("bucket %s: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials: %w: %w", c.Bucket, env.ErrForbidden, err)
	}
	return s, nil
}

func (c Config) check() error {
	if c.Bucket == "" {
		return errors.New("no name of a bucket")
	}
	if c.Prefix != "" {
		if err := env.CheckKey(strings.TrimSuffix(c.Prefix, "/")); err != nil {
			return fmt.Errorf("prefix in bucket %s: %w", c.Bucket, err)
		}
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("endpoint %q: want a URL like https://host:port", c.Endpoint)
	}
	return nil
}

// apply says how to talk to the server.
func (c Config) apply(o *sdk.Options) {
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(c.Endpoint, "/"))
	}
	if o.BaseEndpoint != nil {
		// Few other servers have a host name for every bucket.
		o.UsePathStyle = true
		if o.Region == "" {
			o.Region = anyRegion
		}
	}
	// Puts carry our checksum, and whole objects are compared with it; other
	// sums would be taken of the same bytes again, and newer kinds of them are
	// unknown to many servers.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.DisableLogOutputChecksumValidationSkipped = true
	// The checksum is signed, so the body need not be hashed once more.
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
