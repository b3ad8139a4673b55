// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/auth"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// ErrNotFound is the cause of an *Error if the registry responded that it does not have the
// requested content. No other failure has it.
var ErrNotFound = errors.New("not found")

// The values of Error.Op.
const (
	opCredentials = "find the credentials for" //nolint:gosec // G101: the name of an operation is not a secret
	opListTags    = "list the tags of"
	opDigest      = "get the digest of"
	opExists      = "look for"
	opManifest    = "get the manifest of"
	opBlob        = "get the blob"
	opReferrers   = "list the referrers of"
)

// Error is a failed operation. Its text contains the problem and a remedy, and is used in
// conditions. So it has no secrets, no raw responses, and nothing that differs between
// attempts, such as ports, times and request ids.
type Error struct {
	// Op is the operation that failed, such as "list the tags of".
	Op string
	// Image is the image repository as written in its object, with the tag or the digest
	// of the operation.
	Image string
	// Host is the registry's host, and port if it has one.
	Host string
	// StatusCode is the HTTP status, 0 if there was no response.
	StatusCode int
	// RetryAfter is the pause that the server requested, 0 for none. Package transport
	// bounds it.
	RetryAfter time.Duration

	reason string
	detail string
	err    error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("failed to %s %s: %s", e.Op, e.Image, e.detail)
}

// Reason returns the reason for the conditions: AuthenticationFailed,
// RateLimited, ReadOperationFailed, and before any request ImageURLInvalid or
// FeatureGateDisabled.
func (e *Error) Reason() string { return e.reason }

// Unwrap returns the cause if it is safe to print, such as
// context.DeadlineExceeded. Network errors are not: they may contain tokens.
func (e *Error) Unwrap() error { return e.err }

// imageStatus is the failure status of a response about the image. A *ggcr.Error that it
// does not wrap is about the login.
type imageStatus struct {
	status *ggcr.Error
	// notFound means that the registry does not have the requested content.
	notFound bool
}

// Error implements error.
func (s *imageStatus) Error() string { return s.status.Error() }

// Unwrap returns the status.
func (s *imageStatus) Unwrap() error { return s.status }

// isNotFound reports whether the registry does not have the requested content.
func isNotFound(err error) bool {
	s, ok := errors.AsType[*imageStatus](err)
	return ok && s.notFound
}

// failureStatus returns the failure status of a response about the image, 0 for other
// errors.
func failureStatus(err error) int {
	if failed, ok := errors.AsType[*imageStatus](err); ok {
		return failed.status.StatusCode
	}
	return 0
}

// checkStatus fails unless a response about the image has status 200.
func checkStatus(resp *http.Response) error {
	err := ggcr.CheckError(resp, http.StatusOK)
	if status, ok := errors.AsType[*ggcr.Error](err); ok {
		return &imageStatus{status: status}
	}
	return err
}

// operation describes an operation in its errors.
type operation struct {
	verb      string
	image     image.Name
	tag       string
	digest    string     // in place of a tag
	mirror    image.Name // the image at the mirror that is tried, zero for the origin
	auth      AuthOptions
	anonymous bool // no credentials are configured
}

// fail converts an error of the operation to an *Error, unless it is a
// *ratelimit.BusyError.
func (o operation) fail(err error) error {
	if busy, ok := errors.AsType[*ratelimit.BusyError](err); ok {
		return busy
	}
	if converted, ok := errors.AsType[*Error](err); ok {
		return converted
	}
	e := &Error{Op: o.verb, Image: o.subject(), Host: o.image.Host(), reason: v1.ReadOperationFailedReason}
	if !o.mirror.IsZero() {
		e.Host = o.mirror.Host()
	}
	o.describe(e, err)
	if !o.mirror.IsZero() {
		e.detail = mirrorRemedies.Replace(e.detail)
	}
	if isNotFound(err) {
		e.err = ErrNotFound
	}
	return e
}

// subject returns the image repository with the tag or the digest.
func (o operation) subject() string {
	subject := o.image.String()
	if o.tag != "" {
		subject += ":" + o.tag
	}
	if o.digest != "" {
		subject += "@" + o.digest
	}
	return subject
}

// mirrorRemedies replaces the fields of an ImageRepository, which have no effect on mirrors,
// in remedies.
var mirrorRemedies = strings.NewReplacer(
	"which spec.certSecretRef can give", "which mirrors can't be given",
	"in spec.certSecretRef", `by "ca" of its table in the file of --registry-mirrors`,
	"set spec.insecure", "write http:// in the file of --registry-mirrors",
	"set spec.secretRef", "add an entry for it to the Secret of spec.secretRef",
	"spec.image", "its table in the file of --registry-mirrors",
)

// describe sets the details of e. The most specific cases are first, because err may
// contain two failures of an insecure registry, one with TLS and one without.
func (o operation) describe(e *Error, err error) {
	var (
		cloud     *credentials.CloudError
		missing   *credentials.Error
		throttled *transport.ThrottledError
		status    *ggcr.Error
		bad       transport.ProtocolError
		login     auth.Error
	)
	switch {
	case errors.As(err, &cloud):
		o.describeCloud(e, cloud)
	case errors.As(err, &missing):
		e.reason, e.detail, e.err = missing.Reason, missing.Detail, missing.Err
	case errors.As(err, &throttled):
		o.describeThrottled(e, throttled)
	case o.describeProxy(e, err):
	case isCertificate(err):
		e.detail = o.describeCertificate(e.Host, err)
	case errors.Is(err, errNoneFound):
		e.StatusCode, e.detail = http.StatusNotFound, fmt.Sprintf("registry %s has no referrers of that digest", e.Host)
	case isAlert(err):
		e.detail = o.describeAlert(e.Host)
	case errors.As(err, &status):
		ofImage := (*imageStatus)(nil)
		o.describeStatus(e, status, errors.As(err, &ofImage))
	case errors.As(err, &login):
		e.detail = fmt.Sprintf("registry %s %s", e.Host, login)
	case errors.As(err, &bad):
		e.detail = fmt.Sprintf("registry %s can't be read: %s", e.Host, bad)
	default:
		e.detail, e.err = describeNetwork(e.Host, err)
	}
}

// describeThrottled sets the details for a server that requests a pause. The text leaves
// out the duration, because it differs each time.
func (o operation) describeThrottled(e *Error, t *transport.ThrottledError) {
	e.StatusCode, e.RetryAfter = t.StatusCode, t.RetryAfter
	if t.StatusCode != http.StatusTooManyRequests {
		e.detail = fmt.Sprintf("registry %s is unavailable (%d) and asks to be tried later", e.Host, t.StatusCode)
		return
	}
	e.reason = v1.RateLimitedReason
	e.detail = fmt.Sprintf("registry %s limits the rate of requests (%d): it will be tried again when it allows that", e.Host, t.StatusCode)
	if o.anonymous {
		e.detail += ", credentials in spec.secretRef often raise the limit"
	}
}

// describeStatus sets the details for a response with a failure status, either
// about the image or about the login.
func (o operation) describeStatus(e *Error, t *ggcr.Error, aboutImage bool) {
	e.StatusCode = t.StatusCode
	status := statusText(t)
	switch {
	case t.StatusCode == http.StatusProxyAuthRequired:
		o.describeProxyStatus(e, t.StatusCode)
	case t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden:
		e.reason = v1.AuthenticationFailedReason
		e.detail = o.describeRefusal(e.Host, status)
	case !aboutImage:
		e.detail = fmt.Sprintf("registry %s does not let us log in (%s): check that spec.image names a registry, and the registry's state",
			e.Host, status)
	case t.StatusCode == http.StatusNotFound && o.tag != "":
		e.detail = fmt.Sprintf("registry %s has no such tag (%s)", e.Host, status)
	case t.StatusCode == http.StatusNotFound && o.digest != "":
		e.detail = fmt.Sprintf("registry %s has no content with that digest (%s)", e.Host, status)
	case t.StatusCode == http.StatusNotFound:
		e.detail = fmt.Sprintf("registry %s has no such repository (%s): check spec.image, and that %s may see it", e.Host, status, o.identity())
	default:
		e.detail = fmt.Sprintf("registry %s answered with an error (%s)", e.Host, status)
	}
}

// describeRefusal describes why a registry refused the identity.
func (o operation) describeRefusal(host, status string) string {
	switch {
	case !o.auth.IsAnonymous():
		return fmt.Sprintf("registry %s refused %s (%s): check that they are valid and may pull from the repository", host, o.identity(), status)
	case o.auth.Origin() != "":
		return fmt.Sprintf("registry %s refused anonymous access (%s), and %s", host, status, o.auth.Origin())
	default:
		return fmt.Sprintf("registry %s refused anonymous access (%s): check spec.image, and set spec.secretRef if the repository is private",
			host, status)
	}
}

// identity returns the identity in the words of messages.
func (o operation) identity() string {
	switch {
	case o.auth.IsAnonymous():
		return "anonymous users"
	case o.auth.Origin() != "":
		return "the credentials of " + o.auth.Origin()
	default:
		return "the credentials"
	}
}

// errorCode matches the error codes of the distribution specification. Nothing else of a
// registry's error is quoted, because messages and details may have request ids.
var errorCode = regexp.MustCompile(`^[A-Z][A-Z_]{2,39}$`)

// statusText returns a status with the code of the registry's first error, such as
// "404 NAME_UNKNOWN".
func statusText(t *ggcr.Error) string {
	if len(t.Errors) > 0 && errorCode.MatchString(string(t.Errors[0].Code)) {
		return fmt.Sprintf("%d %s", t.StatusCode, t.Errors[0].Code)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", t.StatusCode, http.StatusText(t.StatusCode)))
}
