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

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// failCredentials returns the error about credentials that can't be had.
func (o operation) failCredentials(detail string, err error) error {
	return &Error{
		Op:     o.verb,
		Image:  o.image.String(),
		Host:   o.image.Host(),
		reason: v1.AuthenticationFailedReason,
		detail: detail,
		err:    err,
	}
}

// failUnsupported returns the error about a field that can't be obeyed.
func (o operation) failUnsupported(field string) error {
	return o.failCredentials(fmt.Sprintf("%s is %v: remove it", field, ErrNotSupported), ErrNotSupported)
}

// failRead returns the error about an object that can't be read. Errors of the
// Kubernetes API quote no Secret, so the cause may be seen; its text may hold
// ports, so only its reason is told.
func (o operation) failRead(kind, name string, err error) error {
	switch reason := apierrors.ReasonForError(err); {
	case apierrors.IsNotFound(err):
		return o.failCredentials(fmt.Sprintf("%s %q does not exist in the namespace: create it, or correct the spec", kind, name), err)
	case reason != "":
		return o.failCredentials(fmt.Sprintf("%s %q can't be read: the Kubernetes API answered %s", kind, name, reason), err)
	default:
		return o.failCredentials(fmt.Sprintf("%s %q can't be read: the Kubernetes API did not answer", kind, name), err)
	}
}

// failSecret returns the error about a Secret that holds no credentials of the
// form that is needed.
func (o operation) failSecret(secret *corev1.Secret, err error) error {
	hint := `create it with "kubectl create secret docker-registry"`
	if errors.Is(err, errNoDockerConfig) {
		hint = fmt.Sprintf("it is of type %q, %s", secret.Type, hint)
	}
	return o.failCredentials(fmt.Sprintf("Secret %q %v: %s", secret.Name, err, hint), err)
}

// failWay returns the error about a Secret that can't be used for
// TLS or for a proxy. What is wrong goes on from the Secret's name.
func (o operation) failWay(field, secret string, err error) error {
	return o.failCredentials(fmt.Sprintf("Secret %q of %s %v", secret, field, err), err)
}

// detailOf returns what an *Error says beyond what failed.
func detailOf(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.detail
}

// badImage returns the error about an image name that can't be parsed.
func badImage(name string, err error) error {
	return &Error{Op: opCredentials, Image: name, reason: v1.ImageURLInvalidReason, detail: err.Error(), err: err}
}
