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
	"os"
	"path/filepath"
	"testing"
)

func TestCloudHosts(t *testing.T) {
	const account = "123456789012"
	cases := map[string]struct {
		reason, host string
		want         string // the provider, "" is none
	}{
		"ECR":            {reason: "private", host: account + ".dkr.ecr.eu-west-1.amazonaws.com", want: providerAWS},
		"ECRCase":        {reason: "names have no case", host: account + ".dkr.ECR.eu-west-1.amazonaws.COM", want: providerAWS},
		"ECRPort":        {reason: "the port of TLS", host: account + ".dkr.ecr.eu-west-1.amazonaws.com:443", want: providerAWS},
		"ECRFIPS":        {reason: "private", host: account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", want: providerAWS},
		"ECRChina":       {reason: "another partition", host: account + ".dkr.ecr.cn-north-1.amazonaws.com.cn", want: providerAWS},
		"ECREurope":      {reason: "another partition", host: account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu", want: providerAWS},
		"ECRDualStack":   {reason: "IPv6 too", host: account + ".dkr-ecr.us-west-2.on.aws", want: providerAWS},
		"ECRPublic":      {reason: "public", host: "public.ecr.aws", want: providerAWS},
		"ACR":            {reason: "public cloud", host: "contoso.azurecr.io", want: providerAzure},
		"ACRChina":       {reason: "another cloud", host: "contoso.azurecr.cn", want: providerAzure},
		"ACRGovernment":  {reason: "another cloud", host: "contoso.azurecr.us", want: providerAzure},
		"GCR":            {reason: "global", host: "gcr.io", want: providerGCP},
		"GCRRegion":      {reason: "regional", host: "eu.gcr.io", want: providerGCP},
		"GAR":            {reason: "regional", host: "europe-west1-docker.pkg.dev", want: providerGCP},
		"ECRSuffix":      {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.amazonaws.com.evil.example"},
		"ECRPrefix":      {reason: "a look-alike", host: "evil-" + account + ".dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRInside":      {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.amazonaws.com.x.azure.example"},
		"ECRGlued":       {reason: "a look-alike", host: account + ".dkr.ecr.eu-west-1.evilamazonaws.com"},
		"ECRSubdomain":   {reason: "somebody's bucket may be called so", host: "x." + account + ".dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRNoAccount":   {reason: "not a registry", host: "dkr.ecr.eu-west-1.amazonaws.com"},
		"ECRChinaOther":  {reason: "a domain that is not Amazon's", host: account + ".dkr.ecr.cn-north-1.amazonaws.com.cc"},
		"S3":             {reason: "another service, with content of anybody", host: "bucket.s3.amazonaws.com"},
		"ECRPublicGlued": {reason: "a look-alike", host: "evilpublic.ecr.aws"},
		"ECRPublicBelow": {reason: "a look-alike", host: "evil.public.ecr.aws"},
		"ECROtherPort":   {reason: "clouds have no such port", host: account + ".dkr.ecr.eu-west-1.amazonaws.com:5000"},
		"ECRTrailingDot": {reason: "may be another host to the resolver", host: account + ".dkr.ecr.eu-west-1.amazonaws.com."},
		"ACRGlued":       {reason: "a look-alike", host: "evilazurecr.io"},
		"ACRSuffix":      {reason: "a look-alike", host: "contoso.azurecr.io.evil.example"},
		"ACRBare":        {reason: "not a registry", host: "azurecr.io"},
		"ACRUser":        {reason: "a look-alike", host: "contoso.azurecr.io@evil.example"},
		"GCRGlued":       {reason: "a look-alike", host: "evilgcr.io"},
		"GCRSuffix":      {reason: "a look-alike", host: "gcr.io.evil.example"},
		"GARGlued":       {reason: "a look-alike", host: "europe-docker.evilpkg.dev"},
		"GARDotted":      {reason: "a look-alike", host: "evil.europe-docker.pkg.dev"},
		"GAROther":       {reason: "not of images", host: "europe-npm.pkg.dev"},
		"GARBare":        {reason: "no location", host: "-docker.pkg.dev"},
		"Unicode":        {reason: "a look-alike", host: "gсr.io"},
		"GHCR":           {reason: "another registry", host: "ghcr.io"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host, _ := parseHost(tc.host)
			for provider := range cloudHosts {
				if got := isCloudHost(provider, host); got != (provider == tc.want) {
					t.Errorf("%s: %s is a host of %s: %v", tc.reason, tc.host, provider, got)
				}
			}
		})
	}
}

func TestAzureOfOnesOwn(t *testing.T) {
	cases := map[string]struct {
		reason, file, host string
		want               bool
	}{
		"Suffix":     {reason: "what the environment says", file: `{"containerRegistryDNSSuffix":"azurecr.local.example"}`, host: "x.azurecr.local.example", want: true},
		"LeadingDot": {reason: "some write a dot before it", file: `{"containerRegistryDNSSuffix":".azurecr.local.example"}`, host: "x.azurecr.local.example", want: true},
		"Glued":      {reason: "a look-alike", file: `{"containerRegistryDNSSuffix":"azurecr.local.example"}`, host: "evilazurecr.local.example"},
		"Public":     {reason: "the public ones stay", file: `{}`, host: "contoso.azurecr.io", want: true},
		"NoSuffix":   {reason: "nothing is said", file: `{}`, host: "x.azurecr.local.example"},
		"Malformed":  {reason: "nothing is said", file: `{`, host: "x.azurecr.local.example"},
		"NoHost":     {reason: "not everything is a host", file: `{"containerRegistryDNSSuffix":"*"}`, host: "x.azurecr.local.example"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "environment.json")
			if err := os.WriteFile(file, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv(azureEnvironment, file)
			host, _ := parseHost(tc.host)
			if got := isCloudHost(providerAzure, host); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
	t.Run("NoFile", func(t *testing.T) {
		t.Setenv(azureEnvironment, filepath.Join(t.TempDir(), "gone"))
		host, _ := parseHost("x.azurecr.local.example")
		if isCloudHost(providerAzure, host) {
			t.Error("a file that is not there says nothing")
		}
	})
}
