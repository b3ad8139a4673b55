// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

func TestIsCloudHost_MatchesProviders(t *testing.T) {
	const account = "123456789012"
	cases := map[string]struct {
		reason, host string
		want         string // the provider, "" is none
	}{
		"ECR":            {reason: "private", host: account + ".dkr.ecr.eu-west-1.amazonaws.com", want: providerAWS},
		"ECRCase":        {reason: "names are case-insensitive", host: account + ".dkr.ECR.eu-west-1.amazonaws.COM", want: providerAWS},
		"ECRPort":        {reason: "the default port of https", host: account + ".dkr.ecr.eu-west-1.amazonaws.com:443", want: providerAWS},
		"ECRFIPS":        {reason: "FIPS", host: account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", want: providerAWS},
		"ECRChina":       {reason: "another partition", host: account + ".dkr.ecr.cn-north-1.amazonaws.com.cn", want: providerAWS},
		"ECREurope":      {reason: "another partition", host: account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu", want: providerAWS},
		"ECRDualStack":   {reason: "IPv6 too", host: account + ".dkr-ecr.us-west-2.on.aws", want: providerAWS},
		"ECRPublic":      {reason: "public", host: "public.ecr.aws", want: providerAWS},
		"ACR":            {reason: "public cloud", host: "contoso.azurecr.io", want: providerAzure},
		"ACRRegion":      {reason: "a regional endpoint (AgentBaker#8862)", host: "contoso.eastus.geo.azurecr.io", want: providerAzure},
		"ACRRegionChina": {reason: "a regional endpoint of another cloud", host: "contoso.chinanorth3.geo.azurecr.cn", want: providerAzure},
		"ACRData":        {reason: "a dedicated data endpoint", host: "contoso.westeurope.data.azurecr.io", want: providerAzure},
		"ACRDomainLabel": {reason: "a name with the hash of a domain name label scope", host: "contoso-h6b9e2c5d0f1a3.azurecr.io", want: providerAzure},
		"ACRRegionGlued": {reason: "a look-alike", host: "contoso.eastus.geoazurecr.io"},
		"ACRChina":       {reason: "another cloud", host: "contoso.azurecr.cn", want: providerAzure},
		"ACRGovernment":  {reason: "another cloud", host: "contoso.azurecr.us", want: providerAzure},
		"GCR":            {reason: "global", host: "gcr.io", want: providerGCP},
		"GCRRegion":      {reason: "regional", host: "eu.gcr.io", want: providerGCP},
		"GAR":            {reason: "regional", host: "europe-west1-docker.pkg.dev", want: providerGCP},
		"ECRSuffix":      {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.amazonaws.com.evil.example"},
		"ECRPrefix":      {reason: "a look-alike", host: "evil-" + account + ".dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRInside":      {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.amazonaws.com.x.azure.example"},
		"ECRGlued":       {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.evilamazonaws.com"},
		"ECRSubdomain":   {reason: "may be a bucket name", host: "x." + account + ".dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRNoAccount":   {reason: "not a registry", host: "dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRChinaOther":  {reason: "a domain that is not Amazon's", host: account + ".dkr.ecr.cn-north-1.amazonaws.com.cc"},
		"S3":             {reason: "another service, with content of other customers", host: "bucket.s3.amazonaws.com"},
		"ECRPublicGlued": {reason: "a look-alike", host: "evilpublic.ecr.aws"},
		"ECRPublicBelow": {reason: "a look-alike", host: "evil.public.ecr.aws"},
		"ECROtherPort":   {reason: "clouds don't use this port", host: account + ".dkr.ecr.eu-west-1.amazonaws.com:5000"},
		"ECRTrailingDot": {reason: "the resolver may return another host", host: account + ".dkr.ecr.eu-west-1.amazonaws.com."},
		"ACRGlued":       {reason: "a look-alike", host: "evilazurecr.io"},
		"ACRSuffix":      {reason: "a look-alike", host: "contoso.azurecr.io.evil.example"},
		"ACRBare":        {reason: "not a registry", host: "azurecr.io"},
		"ACRUser":        {reason: "a look-alike", host: "contoso.azurecr.io@evil.example"},
		"GCRGlued":       {reason: "a look-alike", host: "evilgcr.io"},
		"GCRSuffix":      {reason: "a look-alike", host: "gcr.io.evil.example"},
		"GARGlued":       {reason: "a look-alike", host: "europe-docker.evilpkg.dev"},
		"GARDotted":      {reason: "a look-alike", host: "evil.europe-docker.pkg.dev"},
		"GAROther":       {reason: "another kind of repository", host: "europe-npm.pkg.dev"},
		"GARBare":        {reason: "no location", host: "-docker.pkg.dev"},
		"Unicode":        {reason: "a look-alike", host: "gсr.io"},
		"GHCR":           {reason: "another registry", host: "ghcr.io"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host, _ := transport.ParseHost(tc.host)
			for provider := range cloudHosts {
				NewWithT(t).Expect(isCloudHost(provider, host)).To(Equal(provider == tc.want), "%s: %s is a host of %s", tc.reason, tc.host, provider)
			}
		})
	}
}

func TestIsCloudHost_ReadsAzureEnvironment(t *testing.T) {
	cases := map[string]struct {
		reason, file, host string
		want               bool
	}{
		"Suffix":     {reason: "the suffix in the file", file: `{"containerRegistryDNSSuffix":"azurecr.local.example"}`, host: "x.azurecr.local.example", want: true},
		"LeadingDot": {reason: "a leading dot is ignored", file: `{"containerRegistryDNSSuffix":".azurecr.local.example"}`, host: "x.azurecr.local.example", want: true},
		"Glued":      {reason: "a look-alike", file: `{"containerRegistryDNSSuffix":"azurecr.local.example"}`, host: "evilazurecr.local.example"},
		"Public":     {reason: "the public suffixes remain valid", file: `{}`, host: "contoso.azurecr.io", want: true},
		"NoSuffix":   {reason: "no suffix", file: `{}`, host: "x.azurecr.local.example"},
		"Malformed":  {reason: "malformed JSON", file: `{`, host: "x.azurecr.local.example"},
		"NoHost":     {reason: "an invalid suffix", file: `{"containerRegistryDNSSuffix":"*"}`, host: "x.azurecr.local.example"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			file := filepath.Join(t.TempDir(), "environment.json")
			g.Expect(os.WriteFile(file, []byte(tc.file), 0o600)).To(Succeed())
			t.Setenv(azureEnvironment, file)
			host, _ := transport.ParseHost(tc.host)
			g.Expect(isCloudHost(providerAzure, host)).To(Equal(tc.want), tc.reason)
		})
	}
	t.Run("NoFile", func(t *testing.T) {
		t.Setenv(azureEnvironment, filepath.Join(t.TempDir(), "missing"))
		host, _ := transport.ParseHost("x.azurecr.local.example")
		NewWithT(t).Expect(isCloudHost(providerAzure, host)).To(BeFalse(), "a missing file")
	})
}

// FuzzCloudHosts tests that each accepted host is in a domain of its provider.
func FuzzCloudHosts(f *testing.F) {
	for _, seed := range []string{
		"ghcr.io", "gcr.io", "eu.gcr.io", "x.azurecr.io", "x.eastus.geo.azurecr.io", "us-docker.pkg.dev", "public.ecr.aws",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		host, ok := transport.ParseHost(name)
		if !ok {
			return
		}
		name = strings.Join(host.Labels, ".")
		for provider, domains := range cloudDomains {
			if isCloudHost(provider, host) && !endsInDomain(name, domains) {
				t.Fatalf("%q is accepted as a host of %s", name, provider)
			}
		}
	})
}

// cloudDomains are the domains of each provider, including those of its partner clouds.
var cloudDomains = map[string][]string{
	providerAWS:   {"ecr.aws", "amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "sc2s.sgov.gov", "c2s.ic.gov", "cloud.adc-e.uk", "csp.hci.ic.gov", "on.aws"},
	providerAzure: {"azurecr.io", "azurecr.cn", "azurecr.us", "azurecr.de"},
	providerGCP:   {"gcr.io", "pkg.dev", "s3nsregistry.fr"},
}

// endsInDomain reports whether name is in one of the domains. Unlike the code under test, it
// compares strings, not labels.
func endsInDomain(name string, domains []string) bool {
	for _, domain := range domains {
		if strings.HasSuffix("."+strings.ToLower(name), "."+domain) {
			return true
		}
	}
	return false
}

// TestAtMirror_KeepsOnlyWhatIsForMirror checks that nothing of the origin's connection is kept, and a
// cloud only at its own registries over TLS.
func TestAtMirror_KeepsOnlyWhatIsForMirror(t *testing.T) {
	for name, tc := range map[string]struct {
		mirror   string
		insecure bool
		provider string
		want     string
	}{
		"Generic":    {mirror: "mirror.example.com/hub/app", provider: "", want: v1.ProviderGeneric},
		"NotInCloud": {mirror: "mirror.example.com/hub/app", provider: providerAWS, want: v1.ProviderGeneric},
		"InCloud":    {mirror: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/hub/app", provider: providerAWS, want: providerAWS},
		"OtherCloud": {mirror: "contoso.azurecr.io/hub/app", provider: providerAWS, want: v1.ProviderGeneric},
		"PlainHTTP":  {mirror: "contoso.azurecr.io/hub/app", insecure: true, provider: providerAzure, want: v1.ProviderGeneric},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			mirror, err := image.Parse(tc.mirror, tc.insecure)
			g.Expect(err).NotTo(HaveOccurred())
			ref := &meta.LocalObjectReference{Name: "secret"}
			repo := &v1.ImageRepository{Spec: v1.ImageRepositorySpec{
				Image: "docker.io/org/app", Insecure: true, Provider: tc.provider, SecretRef: ref, ServiceAccountName: "account",
				CertSecretRef: ref, ProxySecretRef: ref,
			}}
			repo.Namespace = "apps"
			original := repo.DeepCopy()
			at := AtMirror(repo, mirror)
			g.Expect(at.Spec).To(Equal(v1.ImageRepositorySpec{Image: tc.mirror, Provider: tc.want, SecretRef: ref, ServiceAccountName: "account"}))
			g.Expect(at.Namespace).To(Equal("apps"))
			g.Expect(repo).To(Equal(original), "the object of the cache is not changed")
		})
	}
}
