// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Error is a failure to determine the identity for a registry.
type Error struct {
	// Reason is the reason for the conditions.
	Reason string
	// Detail describes the problem and a remedy, without quoting any Secret.
	Detail string
	// Err is the cause, nil if it is not safe to print.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CloudError is a failure of a cloud to return credentials.
type CloudError struct {
	// Request names the provider and the service account.
	Request string
	// Options has the transport configuration that was used.
	Options Options
	// Err is the error of the cloud's library. Its text may contain secrets.
	Err error
}

// Error implements error.
func (e *CloudError) Error() string { return e.Request + " gave no credentials" }

// fail returns an Error about credentials.
func fail(detail string, err error) error {
	return &Error{Reason: v1.AuthenticationFailedReason, Detail: detail, Err: err}
}

// failRead returns the error about an object that can't be read. It wraps the error of the
// Kubernetes API, which contains no Secrets, but quotes only its reason, because its text
// may have ports.
func failRead(kind, name string, err error) error {
	switch reason := apierrors.ReasonForError(err); {
	case apierrors.IsNotFound(err):
		return fail(fmt.Sprintf("%s %q does not exist in the namespace: create it, or correct the spec", kind, name), err)
	case reason != "":
		return fail(fmt.Sprintf("%s %q can't be read: the Kubernetes API answered %s", kind, name, reason), err)
	default:
		return fail(fmt.Sprintf("%s %q can't be read: the Kubernetes API did not answer", kind, name), err)
	}
}

// failSecret returns the error about a Secret without a valid docker config.
func failSecret(secret *corev1.Secret, err error) error {
	hint := `create it with "kubectl create secret docker-registry"`
	if errors.Is(err, errNoDockerConfig) {
		hint = fmt.Sprintf("it is of type %q, %s", secret.Type, hint)
	}
	return fail(fmt.Sprintf("Secret %q %v: %s", secret.Name, err, hint), err)
}

// failTransport returns the error about an invalid certificate or proxy Secret. The text of
// err continues the Secret's name.
func failTransport(field, secret string, err error) error {
	return fail(fmt.Sprintf("Secret %q of %s %v", secret, field, err), err)
}
