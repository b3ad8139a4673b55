/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// ErrNotFound is found, by errors.Is, in the errors that say that the registry
// does not have what was asked for. A failure to say so is never one of them.
var ErrNotFound = errors.New("not found")

// What an operation was about to do, as messages say it.
const (
	opCredentials = "find the credentials for" //nolint:gosec // G101: says what was tried, and holds no secret
	opListTags    = "list the tags of"
	opDigest      = "get the digest of"
	opExists      = "look for"
	opManifest    = "get the manifest of"
	opBlob        = "get the blob"
	opReferrers   = "list the referrers of"
)

// Error is a failed operation. Its text says what failed and what to do, and
// ends up in conditions: so it holds no secret, no raw answer and nothing that
// differs from one try to the next, such as ports, times and request ids.
type Error struct {
	// Op says what failed, such as "list the tags of".
	Op string
	// Image is the image repository as its object spells it, with the tag or
	// the digest where the operation was about one.
	Image string
	// Host is the registry's host, and port where there is one.
	Host string
	// StatusCode is the HTTP status, 0 where there was no answer.
	StatusCode int
	// RetryAfter is how long the server asked to be left alone, 0 where it
	// did not. It is never absurdly long.
	RetryAfter time.Duration

	reason string
	detail string
	err    error
}

// Error says what failed and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("failed to %s %s: %s", e.Op, e.Image, e.detail)
}

// Reason returns the reason for the conditions: AuthenticationFailed,
// RateLimited, ReadOperationFailed, and before any request ImageURLInvalid or
// FeatureGateDisabled.
func (e *Error) Reason() string { return e.reason }

// Unwrap returns the cause where it may be seen, such as
// context.DeadlineExceeded. The errors of the network stay out of reach: they
// may quote tokens.
func (e *Error) Unwrap() error { return e.err }

// imageStatus is the status of an answer about the image. A *ggcr.Error
// that is not inside of one is about the login.
type imageStatus struct{ status *ggcr.Error }

// Error implements error.
func (s *imageStatus) Error() string { return s.status.Error() }

// Unwrap returns the status.
func (s *imageStatus) Unwrap() error { return s.status }

// notFound is a response by which a registry says that it does not have what was
// asked for.
type notFound struct{ error }

// Unwrap returns the status.
func (n notFound) Unwrap() error { return n.error }

// asStatus returns the status of a response about the image that is a failure.
func asStatus(err error) (int, bool) {
	if failed, ok := errors.AsType[*imageStatus](err); ok {
		return failed.status.StatusCode, true
	}
	return 0, false
}

// checkStatus fails unless an answer about the image has one of some statuses.
func checkStatus(resp *http.Response, codes ...int) error {
	err := ggcr.CheckError(resp, codes...)
	if status := (*ggcr.Error)(nil); errors.As(err, &status) {
		return &imageStatus{status: status}
	}
	return err
}

// operation is what is being done, for the error that it may end with.
type operation struct {
	verb  string
	image image.Name
	tag   string
	// digest is asked for in place of a tag.
	digest    string
	auth      AuthOptions
	anonymous bool // no credentials are configured
}

// fail translates an error of the operation. Errors that are translated
// already are left alone.
func (o operation) fail(err error) error {
	if translated := (*Error)(nil); errors.As(err, &translated) {
		return translated
	}
	e := &Error{Op: o.verb, Image: o.image.String(), Host: o.image.Host(), reason: v1.ReadOperationFailedReason}
	if o.tag != "" {
		e.Image += ":" + o.tag
	}
	if o.digest != "" {
		e.Image += "@" + o.digest
	}
	o.describe(e, err)
	if _, gone := asNotFound(err); gone {
		e.err = ErrNotFound
	}
	return e
}

// describe fills e with what err says. An insecure registry is tried both with
// TLS and without, and err may hold the outcome of both: so the order is from
// what explains most to what explains least.
func (o operation) describe(e *Error, err error) {
	var (
		throttled *transport.ThrottledError
		status    *ggcr.Error
		bad       transport.ProtocolError
		login     auth.Error
	)
	switch {
	case errors.As(err, &throttled):
		o.describeThrottled(e, throttled)
	case o.describeProxy(e, err):
	case isCertificate(err):
		e.detail = o.describeCertificate(e.Host, err)
	case isAlert(err):
		e.detail = o.describeAlert(e.Host)
	case errors.As(err, &status):
		about := (*imageStatus)(nil)
		o.describeStatus(e, status, errors.As(err, &about))
	case errors.As(err, &login):
		e.detail = fmt.Sprintf("registry %s %s", e.Host, login)
	case errors.As(err, &bad):
		e.detail = fmt.Sprintf("registry %s can't be read: %s", e.Host, bad)
	default:
		e.detail, e.err = describeNetwork(e.Host, err)
	}
}

// describeThrottled fills e for a server that asks for a pause. How long is
// left out of the text, because it differs each time.
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

// describeStatus fills e for an answer whose status is a failure: one about the
// image, or else about the login.
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
		e.detail = fmt.Sprintf("registry %s has nothing of that digest (%s)", e.Host, status)
	case t.StatusCode == http.StatusNotFound:
		e.detail = fmt.Sprintf("registry %s has no such repository (%s): check spec.image, and that %s may see it", e.Host, status, o.who())
	default:
		e.detail = fmt.Sprintf("registry %s answered with an error (%s)", e.Host, status)
	}
}

// describeRefusal says whom the registry refused, and what may help.
func (o operation) describeRefusal(host, status string) string {
	switch {
	case !o.auth.IsAnonymous():
		return fmt.Sprintf("registry %s refused %s (%s): check that they are valid and may pull from the repository", host, o.who(), status)
	case o.auth.Origin() != "":
		return fmt.Sprintf("registry %s refused anonymous access (%s), and %s", host, status, o.auth.Origin())
	default:
		return fmt.Sprintf("registry %s refused anonymous access (%s): check spec.image, and set spec.secretRef if the repository is private",
			host, status)
	}
}

// who names the identity in a sentence.
func (o operation) who() string {
	switch {
	case o.auth.IsAnonymous():
		return "anonymous users"
	case o.auth.Origin() != "":
		return "the credentials of " + o.auth.Origin()
	default:
		return "the credentials"
	}
}

// errorCode is how the distribution specification spells the codes of errors.
// Nothing else of a registry's error is quoted: messages and details may hold
// request ids.
var errorCode = regexp.MustCompile(`^[A-Z][A-Z_]{2,39}$`)

// statusText renders a status with the code of the registry's first error,
// such as "404 NAME_UNKNOWN".
func statusText(t *ggcr.Error) string {
	if len(t.Errors) > 0 && errorCode.MatchString(string(t.Errors[0].Code)) {
		return fmt.Sprintf("%d %s", t.StatusCode, t.Errors[0].Code)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", t.StatusCode, http.StatusText(t.StatusCode)))
}
