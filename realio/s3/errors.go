package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"xenon/core/env"
	"xenon/core/xsync"
)

// ErrNoBucket reports a bucket that does not exist. It is not env.ErrNotFound:
// nothing is known about any key.
var ErrNoBucket = errors.New("no such bucket")

// errRange reports a range in which there is no byte.
var errRange = errors.New("the range is not in the object")

// What a request does to the store.
const (
	read  = false
	write = true
)

// An attempt is one request, of which it is known whether it may have reached
// the store.
type attempt struct {
	ctx    context.Context
	writes bool
	bare   bool        // its answer has no text: that of a HEAD
	sent   atomic.Bool // a connection was there to send it on
}

// begin makes the context for one request.
//
// net/http itself sends a request again where not one byte of it was written,
// or where the other side says that it did not look at it (HTTP/2), and reads
// where a kept connection was closed. A put that may have been seen is never
// sent twice.
func begin(ctx context.Context, writes bool) (*attempt, context.Context) {
	a := &attempt{ctx: ctx, writes: writes}
	return a, httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.sent.Store(true) },
	})
}

// silence is what no answer means: a read just failed; a write may have been
// done, or may yet be, if it was sent.
func (a *attempt) silence() error {
	if a.writes && a.sent.Load() {
		return env.ErrUnknown
	}
	return env.ErrUnavailable
}

// failed says what an error of the library means, in the words of package env
// and as short as it can be said.
func (a *attempt) failed(err error) error {
	if cause := xsync.Cause(a.ctx); cause != nil {
		return fmt.Errorf("%w: %w", a.silence(), cause)
	}
	status := 0
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	var api smithy.APIError
	if !errors.As(err, &api) || status == 0 {
		return fmt.Errorf("%w: %s", a.silence(), transportText(err))
	}
	text := answerText(api, status, answer.ServiceRequestID())
	if kind := a.kindOf(api.ErrorCode(), status); kind != nil {
		return fmt.Errorf("%w: %s", kind, text)
	}
	if hint := hints[api.ErrorCode()]; hint != "" {
		text += ": " + hint
	}
	return errors.New(text)
}

// byCode is what the error codes of S3 mean.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var byCode = map[string]error{
	"NoSuchKey":          env.ErrNotFound,
	"NoSuchBucket":       ErrNoBucket,
	"PreconditionFailed": env.ErrPrecondition,

	"ConditionalRequestConflict": env.ErrConflict,
	"OperationAborted":           env.ErrConflict,

	"SlowDown":             env.ErrSlowDown,
	"Throttling":           env.ErrSlowDown,
	"ThrottlingException":  env.ErrSlowDown,
	"RequestLimitExceeded": env.ErrSlowDown,
	"TooManyRequests":      env.ErrSlowDown,

	"XAdminUserNotFound":   env.ErrForbidden, // versitygw, with 404
	"ExpiredToken":         env.ErrForbidden,
	"InvalidToken":         env.ErrForbidden,
	"TokenRefreshRequired": env.ErrForbidden,

	// The body did not arrive as it was sent: nothing was stored.
	"BadDigest":      env.ErrUnavailable,
	"InvalidDigest":  env.ErrUnavailable,
	"IncompleteBody": env.ErrUnavailable,
	"RequestTimeout": env.ErrUnavailable,

	"XAmzContentChecksumMismatch": env.ErrUnavailable,

	"InvalidRange": errRange,
}

// kindOf is the error of package env that an answer means, or nil if there is
// none. An answer of 5xx to a write does not say that nothing was done. A 404
// that does not say what is missing is no missing object: a proxy on the way
// may have nothing of what we ask for, and the store all of it.
func (a *attempt) kindOf(code string, status int) error {
	if kind := byCode[code]; kind != nil {
		return kind
	}
	switch {
	case status == http.StatusNotFound && a.bare:
		return env.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return env.ErrPrecondition
	case status == http.StatusConflict:
		return env.ErrConflict
	case status == http.StatusTooManyRequests:
		return env.ErrSlowDown
	case status == http.StatusRequestedRangeNotSatisfiable:
		return errRange
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return env.ErrForbidden
	case status >= 500 && a.writes:
		return env.ErrUnknown
	case status >= 500:
		return env.ErrUnavailable
	}
	return nil
}

// hints say what to do about answers that are nobody's fault but ours.
var hints = map[string]string{
	"PermanentRedirect":            "the bucket is in another region: set bucket_region",
	"AuthorizationHeaderMalformed": "the bucket is in another region: set bucket_region",
	"InvalidBucketName":            "look at bucket_name",
	"NotImplemented":               "this server lacks something that xenon needs",
}

// answerText is an answer in one line.
func answerText(api smithy.APIError, status int, id string) string {
	text := api.ErrorCode()
	if m := strings.TrimSuffix(strings.TrimSpace(api.ErrorMessage()), "."); m != "" && m != text {
		text += ": " + m
	}
	text += fmt.Sprintf(" (HTTP %d", status)
	if id != "" {
		text += ", request " + id
	}
	return text + ")"
}

// transportText is what went wrong on the way, without the wrappings.
func transportText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
