// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

// TestCloudCredentials_ExchangeServiceAccountToken tests all steps to credentials with fake
// clouds: from the annotations and the token of the service account, through a proxy, to the
// credentials for the registry.
func TestCloudCredentials_ExchangeServiceAccountToken(t *testing.T) {
	cases := map[string]struct {
		reason, image, provider, account string
		byDefault                        bool
		wantUsername, wantOrigin         string
		wantRequests                     []string
	}{
		"AWS":     {reason: "an assumed role", image: imageAWS, provider: "aws", account: "aws", wantUsername: "AWS", wantOrigin: `spec.provider "aws" for ServiceAccount "aws"`, wantRequests: []string{"sts.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"}},
		"Azure":   {reason: "a managed identity", image: imageAzure, provider: "azure", account: "azure", wantUsername: "00000000-0000-0000-0000-000000000000", wantOrigin: `spec.provider "azure" for ServiceAccount "azure"`, wantRequests: []string{"login.microsoftonline.com", "contoso.azurecr.io"}},
		"GCP":     {reason: "a federated identity", image: imageGCP, provider: "gcp", account: "gcp", wantUsername: "oauth2accesstoken", wantOrigin: `spec.provider "gcp" for ServiceAccount "gcp"`, wantRequests: []string{"sts.googleapis.com"}},
		"Default": {reason: "the default account of the controller", image: imageGCP, provider: "gcp", account: "gcp", byDefault: true, wantUsername: "oauth2accesstoken", wantOrigin: `spec.provider "gcp" for ServiceAccount "gcp"`, wantRequests: []string{"sts.googleapis.com"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, named, byDefault := startClouds(t), tc.account, ""
			if tc.byDefault {
				named, byDefault = "", tc.account
			}
			g := newCloudGetter(t, cloudCluster(nil, c.secret()), func(cloud *credentials.Cloud) { cloud.DefaultServiceAccount = byDefault })
			identities := map[string]bool{}
			for range 3 {
				got, err := g.AuthOptions(t.Context(), repository(cloudSpec(tc.image, tc.provider, named)))
				NewWithT(t).Expect(err).NotTo(HaveOccurred(), tc.reason)
				config, err := got.Authenticator().Authorization()
				if err != nil || config.Username != tc.wantUsername || config.Password == "" || got.String() != tc.wantOrigin {
					t.Errorf("%s: got %q of %s, %v", tc.reason, config.Username, got, err)
				}
				identities[got.Identity()] = true
			}
			NewWithT(t).Expect(identities).To(HaveLen(1), "%s: the identity must not change between scans", tc.reason)
			c.checkRequestedOnce(t, tc.wantRequests)
		})
	}
}

// checkRequestedOnce checks that exactly the given hosts received exactly one request each,
// regardless of the number of scans.
func (c *clouds) checkRequestedOnce(t *testing.T, hosts []string) {
	t.Helper()
	got := map[string]int{}
	for _, request := range c.requests {
		host, path, _ := strings.Cut(request, " ")
		if !strings.Contains(path, "/discovery/") && !strings.Contains(path, "/.well-known/") { // discovery of the login
			got[host]++
		}
	}
	want := map[string]int{}
	for _, host := range hosts {
		want[host] = 1
	}
	NewWithT(t).Expect(got).To(BeComparableTo(want), "requests by host")
}

// TestCloudCredentials_UseControllerIdentity tests the identity of the controller, which is used
// if objects have none. AWS is the one provider that reads it from the environment.
func TestCloudCredentials_UseControllerIdentity(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AK")
	t.Setenv("AWS_SECRET_ACCESS_KEY", canary)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CA_BUNDLE", "") // may be set on this machine
	c := startClouds(t)
	g := newCloudGetter(t, cloudCluster(nil, c.secret()), func(cloud *credentials.Cloud) { cloud.ObjectLevel = false })
	got, err := g.AuthOptions(t.Context(), repository(cloudSpec(imageAWS, "aws", "")))
	if err != nil || got.IsAnonymous() || got.String() != `spec.provider "aws"` {
		t.Fatalf("got %v, %v", got, err)
	}
	NewWithT(t).Expect(c.count("sts.eu-west-1.amazonaws.com")).To(BeZero(), "requests: %v", c.requests)
	NewWithT(t).Expect(c.count("api.ecr.eu-west-1.amazonaws.com")).To(Equal(1), "requests: %v", c.requests)
}

// TestCloudCredentials_FollowChangedServiceAccount tests that a token is not reused after the
// service account changed.
func TestCloudCredentials_FollowChangedServiceAccount(t *testing.T) {
	c := startClouds(t)
	k := cloudCluster(nil, c.secret())
	g := newCloudGetter(t, k, nil)
	resolve := func() {
		t.Helper()
		NewWithT(t).Expect(g.AuthOptions(t.Context(), repository(cloudSpec(imageAWS, "aws", "aws")))).Error().NotTo(HaveOccurred())
	}
	resolve()
	account := accounts()[0]
	NewWithT(t).Expect(k.Get(t.Context(), client.ObjectKeyFromObject(account), account)).To(Succeed())
	account.Annotations["eks.amazonaws.com/role-arn"] = "arn:aws:iam::123456789012:role/other"
	NewWithT(t).Expect(k.Update(t.Context(), account)).To(Succeed())
	resolve()
	NewWithT(t).Expect(c.count("sts.eu-west-1.amazonaws.com")).To(Equal(2), "requests to assume a role")
}

func TestCloudCredentials_YieldToSecret(t *testing.T) {
	c := startClouds(t)
	ecr := strings.TrimSuffix(imageAWS, "/app")
	g := newCloudGetter(t, cloudCluster(nil, c.secret(), dockerSecret("ecr", ecr, "user"), dockerSecret("quay", "quay.io", "user")), nil)
	cases := map[string]struct {
		reason     string
		spec       func(*v1.ImageRepositorySpec)
		wantOrigin string
		wantCloud  bool
	}{
		"SecretFirst": {reason: "a Secret with an entry for the registry takes precedence", spec: func(s *v1.ImageRepositorySpec) { cloudSpec(imageAWS, "aws", "aws")(s); s.SecretRef = secretRef("ecr") }, wantOrigin: `Secret "ecr"`},
		"SecretForeign": {reason: "also for a registry of another provider", spec: func(s *v1.ImageRepositorySpec) {
			cloudSpec("quay.io/app", "aws", "aws")(s)
			s.SecretRef = secretRef("quay")
		}, wantOrigin: `Secret "quay"`},
		"ThenCloud":  {reason: "without an entry in the Secret, the cloud is used", spec: func(s *v1.ImageRepositorySpec) { cloudSpec(imageAWS, "aws", "aws")(s); s.SecretRef = secretRef("quay") }, wantOrigin: `spec.provider "aws" for ServiceAccount "aws"`, wantCloud: true},
		"NoProvider": {reason: "without a provider, public images are read anonymously", spec: func(s *v1.ImageRepositorySpec) { s.Image = "public.ecr.aws/docker/library/alpine" }, wantOrigin: "anonymous"},
		"Generic":    {reason: "without a provider, the cloud identity of the account is not used", spec: func(s *v1.ImageRepositorySpec) { s.Image, s.ServiceAccountName = imageAWS, "aws" }, wantOrigin: `ServiceAccount "aws" has no pull secrets`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := len(c.proxy.Targets())
			NewWithT(t).Expect(g.AuthOptions(t.Context(), repository(tc.spec))).To(HaveField("String()", Equal(tc.wantOrigin)), tc.reason)
			NewWithT(t).Expect(len(c.proxy.Targets()) > before).To(Equal(tc.wantCloud), "%s: requests to the cloud", tc.reason)
		})
	}
}

// TestCloudCredentials_RejectWithoutRequest tests what is rejected without any request.
func TestCloudCredentials_RejectWithoutRequest(t *testing.T) {
	cases := map[string]struct {
		reason, image, provider, account string
		insecure                         bool
		gateDisabled                     bool // the feature gate is disabled
		byDefault                        string
		wantReason                       string
		words                            []string
	}{
		"LookAlike":     {reason: "a look-alike host", image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/app", provider: "aws", account: "aws", words: []string{"amazonaws.com.evil.example is not one of its hosts", "correct spec.provider or spec.image"}},
		"OtherRegistry": {reason: "a common mistake", image: "ghcr.io/org/app", provider: "gcp", account: "gcp", words: []string{`spec.provider "gcp" has credentials for Google Artifact Registry or Container Registry only`}},
		"OtherCloud":    {reason: "another cloud", image: imageAzure, provider: "aws", account: "aws", words: []string{"contoso.azurecr.io is not one of its hosts"}},
		"Port":          {reason: "clouds use no other port", image: "contoso.azurecr.io:8443/app", provider: "azure", account: "azure", words: []string{"contoso.azurecr.io:8443 is not one of its hosts"}},
		"Insecure":      {reason: "a token must not be sent over plain HTTP", image: imageGCP, provider: "gcp", account: "gcp", insecure: true, words: []string{"spec.insecure", "remove it"}},
		"FeatureGate":   {reason: "the feature gate must be enabled", image: imageAWS, provider: "aws", account: "aws", gateDisabled: true, wantReason: meta.FeatureGateDisabledReason, words: []string{"ObjectLevelWorkloadIdentity"}},
		"NoAccount":     {reason: "the account doesn't exist", image: imageAWS, provider: "aws", account: "missing", words: []string{`ServiceAccount "missing" does not exist`}},
		"NoDefault":     {reason: "the controller's default account doesn't exist", image: imageAWS, provider: "aws", byDefault: "missing", words: []string{"the controller's default service account can't be used", `ServiceAccount "missing" does not exist`, "set spec.serviceAccountName"}},
		"PlainAWS":      {reason: "an account without an identity in the cloud", image: imageAWS, provider: "aws", account: "plain", words: []string{`ServiceAccount "plain" names no identity`, "eks.amazonaws.com/role-arn"}},
		"PlainAzure":    {reason: "an account without an identity in the cloud", image: imageAzure, provider: "azure", account: "plain", words: []string{"azure.workload.identity/tenant-id"}},
		"UnknownCloud":  {reason: "the API server rejects it, but older objects may contain it", image: imageAWS, provider: "other", words: []string{`spec.provider "other" is not supported`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := startClouds(t)
			g := newCloudGetter(t, cloudCluster(nil, c.secret()), func(cloud *credentials.Cloud) {
				cloud.ObjectLevel, cloud.DefaultServiceAccount = !tc.gateDisabled, tc.byDefault
			})
			_, err := g.AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) {
				cloudSpec(tc.image, tc.provider, tc.account)(s)
				s.Insecure = tc.insecure
			}))
			reason := tc.wantReason
			if reason == "" {
				reason = v1.AuthenticationFailedReason
			}
			checkError(t, err, reason, tc.words...)
			NewWithT(t).Expect(c.proxy.Targets()).To(BeEmpty(), "%s: requests", tc.reason)
		})
	}
}

// respond returns a handler with a constant status and body. CHANGES in the body is replaced by a
// secret and the time.
func respond(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body := strings.ReplaceAll(body, "CHANGES", time.Now().Format(time.RFC3339Nano)+canary)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Amzn-Requestid", time.Now().Format(time.RFC3339Nano))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestCloudCredentials_ErrorsNameTheFix(t *testing.T) {
	const (
		xml, json = "text/xml", "application/json"
		sts, ecr  = "sts.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"
	)
	cases := map[string]struct {
		reason, image, provider string
		host                    string
		handler                 http.HandlerFunc
		api                     error // of the Kubernetes API
		proxy                   string
		words                   []string
	}{
		"AWSRole":      {reason: "the role can't be assumed", image: imageAWS, provider: "aws", host: sts, handler: respond(403, xml, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>CHANGES</Message></Error><RequestId>CHANGES</RequestId></ErrorResponse>`), words: []string{"AWS answered STS AssumeRoleWithWebIdentity with AccessDenied"}},
		"AWSThrottles": {reason: "a temporary error", image: imageAWS, provider: "aws", host: ecr, handler: respond(400, "application/x-amz-json-1.1", `{"__type":"ThrottlingException","message":"CHANGES"}`), words: []string{"AWS limits the rate of ECR GetAuthorizationToken (ThrottlingException): it will be tried again"}},
		"AWSRegistry":  {reason: "the role lacks pull access", image: imageAWS, provider: "aws", host: ecr, handler: respond(400, "application/x-amz-json-1.1", `{"__type":"AccessDeniedException","message":"CHANGES"}`), words: []string{"AWS answered ECR GetAuthorizationToken with AccessDeniedException"}},
		"AWSStrange":   {reason: "an invalid error code", image: imageAWS, provider: "aws", host: sts, handler: respond(403, xml, `<ErrorResponse><Error><Code>CHANGES</Code></Error></ErrorResponse>`), words: []string{"with an error without a code"}},
		"AzureLogin":   {reason: "the identity is not federated", image: imageAzure, provider: "azure", host: "login.microsoftonline.com", handler: rejectEntraToken, words: []string{"Microsoft Entra ID answered AADSTS700016"}},
		"AzurePull":    {reason: "the identity lacks pull access", image: imageAzure, provider: "azure", host: "contoso.azurecr.io", handler: respond(401, json, `{"errors":[{"code":"UNAUTHORIZED","message":"CHANGES"}]}`), words: []string{"Azure answered", "may pull from the registry"}},
		"AzurePanic":   {reason: "a response that makes the library panic", image: imageAzure, provider: "azure", host: "contoso.azurecr.io", handler: respond(200, json, `{}`), words: []string{"cloudPanicError"}},
		"GCP":          {reason: "the account is not in the pool", image: imageGCP, provider: "gcp", host: "sts.googleapis.com", handler: respond(400, json, `{"error":"invalid_grant","error_description":"CHANGES"}`), words: []string{"Google answered invalid_grant"}},
		"Forbidden":    {reason: "the controller lacks the permission", image: imageAWS, provider: "aws", api: apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, "aws", errors.New("no")), words: []string{"create serviceaccounts/token"}},
		"NoToken":      {reason: "the API server fails", image: imageAWS, provider: "aws", api: apierrors.NewInternalError(errors.New(canary)), words: []string{"made no token", "InternalError"}},
		"ProxyRefuses": {reason: "wrong credentials for the proxy", image: imageGCP, provider: "gcp", proxy: "other", words: []string{`the proxy of Secret "proxy" refused the credentials`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := startClouds(t)
			if tc.handler != nil {
				c.set(tc.host, tc.handler)
			}
			secret := c.secret()
			if tc.proxy != "" {
				secret.Data["password"] = []byte(tc.proxy)
			}
			g := newCloudGetter(t, cloudCluster(func() error { return tc.api }, secret), nil)
			texts := map[string]bool{}
			for range 2 {
				_, err := g.AuthOptions(t.Context(), repository(cloudSpec(tc.image, tc.provider, tc.provider)))
				checkError(t, err, v1.AuthenticationFailedReason, append(tc.words, "gave no credentials")...)
				texts[err.Error()] = true
			}
			NewWithT(t).Expect(texts).To(HaveLen(1), "%s: the text differs between attempts", tc.reason)
		})
	}
}

// rejectEntraToken rejects token requests.
func rejectEntraToken(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		serveEntra(w, req)
		return
	}
	respond(400, "application/json", `{"error":"unauthorized_client","error_description":"AADSTS700016: CHANGES","trace_id":"CHANGES"}`)(w, req)
}

// TestCloudCredentials_RespectTimeout tests that a request to a hanging cloud ends at the caller's
// timeout.
func TestCloudCredentials_RespectTimeout(t *testing.T) {
	c := startClouds(t)
	hang, release := context.WithCancel(context.Background())
	t.Cleanup(release)
	c.set("sts.eu-west-1.amazonaws.com", func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-hang.Done():
		case <-req.Context().Done():
		}
	})
	g := newCloudGetter(t, cloudCluster(nil, c.secret()), nil)
	_, err := g.AuthOptions(timeout(t, 200*time.Millisecond), repository(cloudSpec(imageAWS, "aws", "aws")))
	checkError(t, err, v1.AuthenticationFailedReason, "no answer in time", "spec.timeout")
	NewWithT(t).Expect(err).To(MatchError(context.DeadlineExceeded), "cause")
	release()
	NewWithT(t).Expect(auth.IsObjectLevelWorkloadIdentityEnabled()).To(BeTrue(), "the feature gate must be enabled in the library")
}

// TestCloudCredentials_RejectProxyWithCA tests that the author of an ImageRepository can't combine
// a proxy and a certificate authority to intercept the controller's own credentials.
func TestCloudCredentials_RejectProxyWithCA(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AK")
	t.Setenv("AWS_SECRET_ACCESS_KEY", canary)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CA_BUNDLE", "") // may be set on this machine
	c := startClouds(t)
	ca := dataSecret("ca", map[string][]byte{"ca.crt": validPair(t).cert})
	g := newCloudGetter(t, cloudCluster(nil, c.secret(), ca), nil)
	for name, tc := range map[string]struct {
		account   string
		cert      bool
		wantError bool
	}{
		"proxy and CA":              {cert: true, wantError: true},
		"proxy":                     {},
		"own account":               {account: "aws", cert: true},
		"own account and the proxy": {account: "aws"},
	} {
		spec := func(s *v1.ImageRepositorySpec) {
			cloudSpec(imageAWS, "aws", tc.account)(s)
			if tc.cert {
				s.CertSecretRef = secretRef("ca")
			}
		}
		before := len(c.requests)
		_, err := g.AuthOptions(t.Context(), repository(spec))
		NewWithT(t).Expect(err != nil).To(Equal(tc.wantError), name)
		if tc.wantError {
			checkError(t, err, v1.AuthenticationFailedReason, `the proxy of Secret "proxy" and the ca.crt of Secret "ca" together could read`)
			NewWithT(t).Expect(c.requests).To(HaveLen(before), "%s: requests to the cloud", name)
		}
	}
}
