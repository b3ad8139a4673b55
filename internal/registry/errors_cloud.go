// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"golang.org/x/oauth2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// describeCloud sets the details for a cloud that returned no credentials.
func (o operation) describeCloud(e *Error, failed *credentials.CloudError) {
	e.reason = v1.AuthenticationFailedReason
	o.auth = failed.Options
	problem, cause := describeCloud(failed.Err)
	if p := (&Error{Host: "the cloud"}); cause == nil && o.describeProxy(p, failed.Err) {
		problem = p.detail
		if isCertificate(failed.Err) { // spec.certSecretRef applies to the registry only
			problem = "the certificate of " + o.proxy() + " is not trusted (x509) there: " +
				"use a proxy with a certificate that the controller's system trusts"
		}
	}
	e.detail, e.err = fmt.Sprintf("%s gave no credentials: %s", failed.Request, problem), cause
}

// describeCloud describes why a cloud returned no credentials, and returns the cause that
// is exposed to callers, if any. It quotes only the codes of errors, because the rest has
// request ids, times, and complete responses.
func describeCloud(err error) (string, error) {
	switch {
	case errors.Is(err, context.Canceled):
		return "the operation was canceled", context.Canceled
	case transport.IsTimeout(err):
		return "there was no answer in time: check that the cloud's addresses can be reached, or raise spec.timeout", context.DeadlineExceeded
	}
	for _, describe := range []func(error) string{
		describeTokenRequest, describeAWSError, describeAzureError, describeGoogleError, describeCloudNetwork,
	} {
		if detail := describe(err); detail != "" {
			return detail, nil
		}
	}
	return fmt.Sprintf("check that the controller or its service account has an identity there (%T)", innermost(err)), nil
}

// describeTokenRequest describes a failed TokenRequest for a service account, "" for other
// errors.
func describeTokenRequest(err error) string {
	reason := apierrors.ReasonForError(err)
	switch reason {
	case metav1.StatusReasonUnknown:
		return ""
	case metav1.StatusReasonForbidden:
		return "the controller may not create tokens for service accounts (Forbidden): allow it to create serviceaccounts/token"
	default:
		return fmt.Sprintf("the Kubernetes API made no token for the service account (%s)", reason)
	}
}

// cloudCode matches the error codes of clouds.
var cloudCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{1,60}$`)

// formatCode formats an error code, or a placeholder if the code is not valid.
func formatCode(format, code string) string {
	if !cloudCode.MatchString(code) {
		code = "an error without a code"
	}
	return fmt.Sprintf(format, code)
}

// describeAWSError describes an error of AWS by its operation and code, "" for other errors.
func describeAWSError(err error) string {
	var (
		operation *smithy.OperationError
		api       smithy.APIError
	)
	if !errors.As(err, &api) {
		return ""
	}
	request := "the request"
	if errors.As(err, &operation) && cloudCode.MatchString(operation.ServiceID+operation.OperationName) {
		request = operation.ServiceID + " " + operation.OperationName
	}
	if throttling.MatchString(api.ErrorCode()) {
		return formatCode("AWS limits the rate of "+request+" (%s): it will be tried again", api.ErrorCode())
	}
	return formatCode("AWS answered "+request+" with %s: check the role, its trust policy, and its permissions", api.ErrorCode())
}

// throttling matches the error codes of AWS for too many requests.
var throttling = regexp.MustCompile(`^(Throttl|TooManyRequests|RequestLimitExceeded|SlowDown)`)

// entraCode matches the error codes of Microsoft Entra ID.
var entraCode = regexp.MustCompile(`\bAADSTS[0-9]{4,9}\b`)

// describeAzureError describes an error of Azure by its code, "" for other errors.
func describeAzureError(err error) string {
	if code := entraCode.FindString(err.Error()); code != "" {
		return formatCode("Microsoft Entra ID answered %s: check the managed identity and its federated credentials", code)
	}
	var response *azcore.ResponseError
	if !errors.As(err, &response) {
		return ""
	}
	if cloudCode.MatchString(response.ErrorCode) {
		return formatCode("Azure answered %s: check that the identity may pull from the registry", response.ErrorCode)
	}
	return fmt.Sprintf("Azure answered with status %d: check that the identity may pull from the registry", response.StatusCode)
}

// googleError matches a response that Google's library quotes, and its error code.
var googleError = regexp.MustCompile(`oauth2/google: status code [0-9]{3}: \{\s*"error":\s*"([A-Za-z_]{1,60})"`)

// describeGoogleError describes an error of Google by its code, "" for other errors.
func describeGoogleError(err error) string {
	code := ""
	if found := googleError.FindStringSubmatch(err.Error()); found != nil {
		code = found[1]
	} else if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) {
		code = refused.ErrorCode
	} else if !strings.Contains(err.Error(), "oauth2/google: status code") {
		return ""
	}
	return formatCode("Google answered %s: check the identity, who may impersonate it, and its permissions", code)
}

// describeCloudNetwork describes a failed connection, "" for other errors.
func describeCloudNetwork(err error) string {
	var (
		lookup  *net.DNSError
		network *net.OpError
	)
	switch {
	case isCertificate(err):
		return "the certificate of one of the cloud's addresses is not valid (x509)"
	case errors.As(err, &lookup):
		return "the name of one of the cloud's addresses can't be resolved"
	case errors.As(err, &network):
		return "one of the cloud's addresses can't be reached"
	default:
		return ""
	}
}
