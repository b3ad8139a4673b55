// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/aws"
	"github.com/fluxcd/pkg/auth/azure"
	"github.com/fluxcd/pkg/auth/gcp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Cloud configures the requests for credentials to the clouds in spec.provider.
type Cloud struct {
	// Client reads service accounts and creates tokens for them.
	Client client.Client
	// Tokens caches credentials. Nil caches none.
	Tokens *TokenCache
	// ObjectLevel allows ImageRepositories to use the identity of their service
	// account. The caller has to enable it in fluxcd/pkg/auth too.
	ObjectLevel bool
	// DefaultServiceAccount is the service account, in the namespace of the
	// ImageRepository, for those without spec.serviceAccountName. If it is empty, they
	// use the identity of the controller.
	DefaultServiceAccount string
}

// cloudProviders are the supported clouds by spec.provider.
var cloudProviders = map[string]auth.ArtifactRegistryCredentialsProvider{
	providerAWS:   aws.Provider{},
	providerAzure: azure.Provider{},
	providerGCP:   gcp.Provider{},
}

// registriesOf has the names of the providers' registries for messages.
var registriesOf = map[string]string{
	providerAWS:   "Amazon Elastic Container Registry",
	providerAzure: "Azure Container Registry",
	providerGCP:   "Google Artifact Registry or Container Registry",
}

// usesCloud reports whether spec.provider is a cloud.
func (s *search) usesCloud() bool { return s.repo.GetProvider() != v1.ProviderGeneric }

// checkCloud fails if the controller is not configured for spec.provider. Ignoring the field
// would access the registry with another identity than specified.
func (s *search) checkCloud() error {
	provider := s.repo.GetProvider()
	switch {
	case !s.usesCloud():
		return nil
	case cloudProviders[provider] == nil || s.cloud == nil:
		return fail(fmt.Sprintf("spec.provider %q is not supported here: remove it", provider), nil)
	case s.repo.Spec.ServiceAccountName != "" && !s.cloud.ObjectLevel:
		return &Error{
			Reason: meta.FeatureGateDisabledReason,
			Detail: fmt.Sprintf("spec.serviceAccountName with spec.provider needs the feature gate %s: "+
				"enable it in the controller, or remove spec.serviceAccountName", auth.FeatureGateObjectLevelWorkloadIdentity),
			Err: auth.ErrObjectLevelWorkloadIdentityNotEnabled,
		}
	default:
		return nil
	}
}

// fromCloud returns the credentials of a cloud, which must be the provider of the registry.
func (s *search) fromCloud(ctx context.Context, base Options) (Options, error) {
	r := cloudRequest{provider: s.repo.GetProvider(), proxy: base.Transport.Proxy}
	host, ok := transport.ParseHost(s.image.Host())
	if !ok || !isCloudHost(r.provider, host) {
		return Options{}, s.failForeignHost(r.provider)
	}
	if s.repo.Spec.Insecure {
		return Options{}, fail(fmt.Sprintf(
			"spec.insecure would let the credentials of spec.provider %q be sent without TLS: remove it", r.provider), nil)
	}
	r.host = strings.Join(host.Labels, ".")
	if err := s.findAccount(ctx, &r); err != nil {
		return Options{}, err
	}
	if r.account == nil && base.Transport.Intercepts() {
		return Options{}, fail(fmt.Sprintf("the proxy of %s and the ca.crt of %s together could read the controller's "+
			"own credentials of spec.provider %q: remove one of them, or use the identity of a ServiceAccount",
			base.ProxyOrigin, base.CertOrigin, r.provider), nil)
	}
	config, err := s.cloud.Tokens.get(ctx, r.key(), func(ctx context.Context) (*auth.ArtifactRegistryCredentials, error) {
		return auth.GetArtifactRegistryCredentials(ctx, cloudProviders[r.provider], r.host, r.options(s.cloud.Client)...)
	})
	if err != nil {
		return Options{}, &CloudError{Request: r.String(), Options: base, Err: err}
	}
	return New(s.image, config, r.String()), nil
}

// failForeignHost returns the error about a registry that is not one of the provider's.
func (s *search) failForeignHost(provider string) error {
	detail := fmt.Sprintf("spec.provider %q has credentials for %s only, and %s is not one of its hosts: correct spec.provider or spec.image",
		provider, registriesOf[provider], s.image.Host())
	if ref := s.repo.Spec.SecretRef; ref != nil {
		detail += fmt.Sprintf(", or add an entry for the host to Secret %q", ref.Name)
	}
	return fail(detail, nil)
}

// findAccount reads the service account whose identity is used, if any.
func (s *search) findAccount(ctx context.Context, r *cloudRequest) error {
	name, isDefault := s.repo.Spec.ServiceAccountName, false
	if name == "" {
		name, isDefault = s.cloud.DefaultServiceAccount, true
	}
	if name == "" {
		return nil
	}
	account := &corev1.ServiceAccount{}
	if err := s.get(ctx, "ServiceAccount", name, account); err != nil {
		if isDefault {
			return fail(fmt.Sprintf("the controller's default service account can't be used: %v: "+
				"create it, or set spec.serviceAccountName", err), err)
		}
		return err
	}
	if _, err := cloudProviders[r.provider].GetIdentity(*account); err != nil {
		return fail(fmt.Sprintf("ServiceAccount %q names no identity of spec.provider %q: %v", name, r.provider, err), err)
	}
	r.account = account
	return nil
}

// cloudRequest is a request for the credentials of a cloud.
type cloudRequest struct {
	provider string
	host     string // of the registry
	account  *corev1.ServiceAccount
	proxy    *url.URL
}

// String returns the source of the credentials for messages.
func (r cloudRequest) String() string {
	if r.account == nil {
		return fmt.Sprintf("spec.provider %q", r.provider)
	}
	return fmt.Sprintf("spec.provider %q for ServiceAccount %q", r.provider, r.account.Name)
}

// key returns the cache key. It includes the service account's annotations, which
// determine its cloud identity.
func (r cloudRequest) key() string {
	fields := []string{r.provider, r.host}
	if r.account != nil {
		annotations, _ := json.Marshal(r.account.Annotations) // never fails for strings
		fields = append(fields, r.account.Namespace, r.account.Name, string(r.account.UID), string(annotations))
	}
	if r.proxy != nil {
		fields = append(fields, r.proxy.String())
	}
	return keyedHash(fields...)
}

// options returns the options for fluxcd/pkg/auth. They do not include its cache, which has
// a single lock, so that a hanging cloud would block the requests to all others.
func (r cloudRequest) options(c client.Client) []auth.Option {
	opts := []auth.Option{auth.WithClient(c)}
	if r.account != nil {
		opts = append(opts, auth.WithServiceAccountNamespace(r.account.Namespace), auth.WithServiceAccountName(r.account.Name))
	}
	if r.proxy != nil {
		opts = append(opts, auth.WithProxyURL(*r.proxy))
	}
	return opts
}
