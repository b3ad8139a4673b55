// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// The values of spec.provider for clouds.
const (
	providerAWS   = "aws"
	providerAzure = "azure"
	providerGCP   = "gcp"
)

// cloudHosts are the patterns of the registry hosts of each provider. Its credentials are
// sent to these hosts only. The partitions of AWS are those of Amazon's credential helper.
var cloudHosts = map[string][]string{
	providerAWS: {
		"public.ecr.aws",
		"ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com",
		"ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com.cn",
		"ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.eu",
		"ACCOUNT.dkr.ecr[-fips].REGION.sc2s.sgov.gov",
		"ACCOUNT.dkr.ecr[-fips].REGION.c2s.ic.gov",
		"ACCOUNT.dkr.ecr[-fips].REGION.cloud.adc-e.uk",
		"ACCOUNT.dkr.ecr[-fips].REGION.csp.hci.ic.gov",
		"ACCOUNT.dkr-ecr[-fips].REGION.on.aws",
	},
	providerAzure: {
		"**.azurecr.io",
		"**.azurecr.cn",
		"**.azurecr.us",
		"**.azurecr.de",
	},
	providerGCP: {
		"gcr.io",
		"**.gcr.io",
		"LOCATION.pkg.dev",
		"docker.s3nsregistry.fr",
	},
}

// isCloudHost reports whether a host is a registry of a provider, on the default port of
// TLS.
func isCloudHost(provider string, host transport.Host) bool {
	if host.Port != "" && host.Port != "443" {
		return false
	}
	patterns := cloudHosts[provider]
	if provider == providerAzure {
		patterns = append(slices.Clone(patterns), privateAzureHosts()...)
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(host, pattern) })
}

// AtMirror returns the ImageRepository whose identity is used at a mirror: repo with the
// image at the mirror. It has no certificates and no proxy, which are for the origin, and a
// provider only if the mirror is one of its registries.
func AtMirror(repo *v1.ImageRepository, mirror image.Name) *v1.ImageRepository {
	at := &v1.ImageRepository{ObjectMeta: repo.ObjectMeta, Spec: repo.Spec}
	at.Spec.Image, at.Spec.Insecure = mirror.Canonical(), false
	at.Spec.CertSecretRef, at.Spec.ProxySecretRef = nil, nil
	host, ok := transport.ParseHost(mirror.Host())
	if !ok || !isCloudHost(repo.GetProvider(), host) || transport.PlainHTTP(mirror.Repository().Registry) {
		at.Spec.Provider = v1.ProviderGeneric
	}
	return at
}

// azureEnvironment is the environment variable with the path of the file that
// describes a private Azure cloud, such as Azure Stack Hub.
const azureEnvironment = "AZURE_ENVIRONMENT_FILEPATH"

// privateAzureHosts returns the patterns of the registry hosts of a private Azure cloud in
// the controller's environment.
func privateAzureHosts() []string {
	file := os.Getenv(azureEnvironment)
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file) //nolint:gosec // the controller's environment is trusted
	if err != nil {
		return nil
	}
	var environment struct {
		Suffix string `json:"containerRegistryDNSSuffix"`
	}
	if err := json.Unmarshal(content, &environment); err != nil {
		return nil
	}
	suffix, ok := transport.ParseHost(strings.TrimPrefix(environment.Suffix, "."))
	if !ok || suffix.Port != "" {
		return nil
	}
	return []string{"**." + strings.Join(suffix.Labels, ".")}
}

// matches reports whether a host matches a pattern label by label: literally, or by
// labelPatterns. "**" at the beginning of a pattern matches one or more labels.
func matches(host transport.Host, pattern string) bool {
	patterns := strings.Split(pattern, ".")
	labels := host.Labels
	if patterns[0] == "**" {
		patterns = patterns[1:]
		if len(labels) <= len(patterns) {
			return false
		}
		labels = labels[len(labels)-len(patterns):]
	}
	return slices.EqualFunc(labels, patterns, matchLabel)
}

// labelPatterns are the wildcards of patterns.
var labelPatterns = map[string]*regexp.Regexp{
	"ACCOUNT":        regexp.MustCompile(`^[0-9]{12}$`),
	"REGION":         regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`),
	"LOCATION":       regexp.MustCompile(`^[a-z][a-z0-9-]*-docker$`),
	"ecr[-fips]":     regexp.MustCompile(`^ecr(-fips)?$`),
	"dkr-ecr[-fips]": regexp.MustCompile(`^dkr-ecr(-fips)?$`),
}

func matchLabel(label, pattern string) bool {
	if expression, found := labelPatterns[pattern]; found {
		return expression.MatchString(label)
	}
	return label == pattern
}
