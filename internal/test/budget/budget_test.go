// SPDX-License-Identifier: Apache-2.0

// Package budget_test limits the dependencies and the size of the program, so that they grow only
// if the budget below is changed.
package budget_test

// The budget. To raise it, change these figures and give the reason in the commit message.
const (
	// mostModules is the maximum number of linked modules, without those of this repository.
	mostModules = 187
	// mostBytes is the maximum size of the program.
	mostBytes = 67 << 20
)

// direct are the modules that this one may require directly, with their purpose.
var direct = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/azcore":      "distinguishes errors of Azure, to report what to change",
	"github.com/BurntSushi/toml":                        "the file of mirrors, in the format of containerd",
	"github.com/Masterminds/semver/v3":                  "the meaning of semver ranges",
	"github.com/aws/smithy-go":                          "distinguishes errors of AWS, to report what to change",
	"github.com/fluxcd/cli-utils":                       "whether the API server limits requests itself; kstatus, for tests",
	"github.com/fluxcd/pkg/apis/acl":                    "accessFrom, as in all of Flux",
	"github.com/fluxcd/pkg/apis/meta":                   "conditions and references, as in all of Flux",
	"github.com/fluxcd/pkg/auth":                        "credentials of clouds",
	"github.com/fluxcd/pkg/cache":                       "caches those credentials",
	"github.com/fluxcd/pkg/runtime":                     "flags, logs, events and metrics, as in all of Flux",
	"github.com/fxamacker/cbor/v2":                      "the format of image info in the tag store; k8s.io/apimachinery links it too",
	"github.com/google/cel-go":                          "expressions in spec.verify.attestations",
	"github.com/google/go-cmp":                          "for tests; fluxcd/pkg/runtime links it too",
	"github.com/hashicorp/golang-lru/v2":                "limits the cached data of registries and the indexes of the tag store",
	"github.com/in-toto/attestation":                    "statements of attestations, for spec.verify",
	"github.com/jedib0t/go-pretty/v6":                   "tables, colours and widths of terminals, for explain and quickstart",
	"github.com/notaryproject/notation-core-go":         "signatures of notation, for spec.verify",
	"github.com/notaryproject/notation-go":              "signatures of notation, for spec.verify",
	"github.com/onsi/gomega":                            "for tests; fluxcd/pkg/runtime links it too, with its matchers of conditions",
	"github.com/opencontainers/go-digest":               "digests in the API of notation",
	"github.com/opencontainers/image-spec":              "descriptors in the API of notation",
	"github.com/go-logr/logr":                           "the log of controller-runtime",
	"github.com/golang-jwt/jwt/v5":                      "distinguishes errors of service account tokens",
	"github.com/google/go-containerregistry":            "image names, and the protocol of registries: ping, token exchange, errors",
	"github.com/prometheus/client_golang":               "metrics",
	"github.com/prometheus/client_model":                "parsed metrics, for explain and tests",
	"github.com/prometheus/common":                      "the formats of metrics, also for explain and tests",
	"github.com/prometheus/procfs":                      "for the benchmark; client_golang links it too",
	"github.com/secure-systems-lab/go-securesystemslib": "the envelopes of bundles, for spec.verify",
	"github.com/sigstore/protobuf-specs":                "bundles of Sigstore, for spec.verify",
	"github.com/sigstore/sigstore":                      "public keys and their signatures, for spec.verify",
	"github.com/sigstore/sigstore-go":                   "bundles, certificates and logs of Sigstore, for spec.verify",
	"github.com/spf13/cobra":                            "the explain command and its completion",
	"github.com/spf13/pflag":                            "flags",
	"github.com/theupdateframework/go-tuf/v2":           "the public trusted root of Sigstore",
	"golang.org/x/crypto":                               "root certificates, if the system has none",
	"golang.org/x/crypto/x509roots/fallback":            "root certificates, if the system has none",
	"golang.org/x/oauth2":                               "distinguishes errors of Google",
	"golang.org/x/sync":                                 "one request for many concurrent callers",
	"golang.org/x/sys":                                  "locks of files, and terminals",
	"golang.org/x/time":                                 "the rate of requests to a registry host",
	"golang.org/x/term":                                 "the width of a terminal",
	"google.golang.org/protobuf":                        "the format of bundles of Sigstore",
	"k8s.io/api":                                        "Secrets, ServiceAccounts and Events",
	"k8s.io/apiextensions-apiserver":                    "for tests, which change CRDs; fluxcd/pkg/runtime links it too",
	"k8s.io/apimachinery":                               "objects of Kubernetes",
	"k8s.io/client-go":                                  "the API server",
	"k8s.io/klog/v2":                                    "the log of client-go",
	"sigs.k8s.io/controller-runtime":                    "controllers",
	"sigs.k8s.io/yaml":                                  "YAML, for files that explain reads",
}

// forbidden are the path prefixes of modules that must not be linked, not even indirectly, with the
// reason.
var forbidden = map[string]string{
	"k8s.io/kubernetes":                    "it is not a library, and requires too much",
	"k8s.io/apiserver":                     "this serves no API",
	"github.com/docker/docker":             "images are read from registries, not from a daemon",
	"github.com/moby/moby":                 "images are read from registries, not from a daemon",
	"github.com/containerd/containerd":     "no container is run",
	"github.com/dgraph-io/badger":          "the tag store is files",
	"github.com/mattn/go-sqlite3":          "it needs cgo",
	"github.com/onsi/ginkgo":               "it is for tests",
	"github.com/stretchr/testify":          "it is for tests",
	"github.com/distribution/distribution": "it is a registry, for tests",
}
