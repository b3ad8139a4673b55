// SPDX-License-Identifier: Apache-2.0

// Package budget_test holds what the program is built from and how large it is:
// it grows where somebody decides so, in budget_test.go, and not by itself.
package budget_test

// The budget. To raise it, change these figures and name what they are spent on
// in the commit: whoever reviews it sees the price.
const (
	// mostModules is how many modules may be linked, beside this one's own.
	mostModules = 200
	// mostBytes is how large the program may be.
	mostBytes = 66 << 20
)

// direct are the modules that this one may import, and what for. They are those
// that bring the others.
var direct = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/azcore":      "tells errors of Azure apart, to say what to change",
	"github.com/Masterminds/semver/v3":                  "the meaning of semver ranges",
	"github.com/aws/smithy-go":                          "tells errors of AWS apart, to say what to change",
	"github.com/fluxcd/cli-utils":                       "for tests, which ask kstatus what a status says; fluxcd/pkg/runtime links it too",
	"github.com/fluxcd/pkg/apis/acl":                    "accessFrom, as all of Flux has it",
	"github.com/fluxcd/pkg/apis/meta":                   "conditions and references, as all of Flux has them",
	"github.com/fluxcd/pkg/auth":                        "credentials of clouds",
	"github.com/fluxcd/pkg/cache":                       "keeps those credentials",
	"github.com/fluxcd/pkg/runtime":                     "flags, logs, events and metrics, as all of Flux has them",
	"github.com/fxamacker/cbor/v2":                      "what the tag store keeps of images; k8s.io/apimachinery links it too",
	"github.com/google/go-cmp":                          "for tests; fluxcd/pkg/runtime links it too",
	"github.com/hashicorp/golang-lru/v2":                "bounds what is kept of registries",
	"github.com/jedib0t/go-pretty/v6":                   "tables, colours and widths of terminals, for explain and quickstart",
	"github.com/notaryproject/notation-core-go":         "signatures of notation, for spec.verify",
	"github.com/notaryproject/notation-go":              "signatures of notation, for spec.verify",
	"github.com/onsi/gomega":                            "for tests; fluxcd/pkg/runtime links it too, with its matchers of conditions",
	"github.com/opencontainers/go-digest":               "digests, as notation has them",
	"github.com/opencontainers/image-spec":              "descriptors, as notation has them",
	"sigs.k8s.io/kustomize/api":                         "for tests; k8s.io/cli-runtime links it too",
	"sigs.k8s.io/kustomize/kyaml":                       "for tests; k8s.io/cli-runtime links it too",
	"github.com/go-logr/logr":                           "the log of controller-runtime",
	"github.com/golang-jwt/jwt/v5":                      "tells errors of service account tokens apart",
	"github.com/google/go-containerregistry":            "image names, and the protocol of registries: ping, token exchange, errors",
	"github.com/prometheus/client_golang":               "metrics",
	"github.com/prometheus/client_model":                "metrics, as explain and tests read them",
	"github.com/prometheus/common":                      "metrics, as explain and tests read them",
	"github.com/prometheus/procfs":                      "for the benchmark; client_golang links it too",
	"github.com/secure-systems-lab/go-securesystemslib": "the envelopes of bundles, for spec.verify",
	"github.com/sigstore/protobuf-specs":                "bundles of Sigstore, for spec.verify",
	"github.com/sigstore/sigstore":                      "public keys and their signatures, for spec.verify",
	"github.com/sigstore/sigstore-go":                   "bundles, certificates and logs of Sigstore, for spec.verify",
	"github.com/spf13/cobra":                            "the explain command and its completion",
	"github.com/spf13/pflag":                            "flags",
	"github.com/theupdateframework/go-tuf/v2":           "the public trusted root of Sigstore",
	"golang.org/x/crypto":                               "certificates of authorities, where the system has none",
	"golang.org/x/crypto/x509roots/fallback":            "certificates of authorities, where the system has none",
	"golang.org/x/oauth2":                               "tells errors of Google apart",
	"golang.org/x/sync":                                 "one request for many who wait",
	"golang.org/x/sys":                                  "locks of files, and terminals",
	"golang.org/x/time":                                 "the rate of requests to a registry host",
	"golang.org/x/term":                                 "how wide a terminal is",
	"google.golang.org/protobuf":                        "bundles of Sigstore are made of it",
	"k8s.io/api":                                        "Secrets, ServiceAccounts and Events",
	"k8s.io/apiextensions-apiserver":                    "for tests, which change CRDs; fluxcd/pkg/runtime links it too",
	"k8s.io/apimachinery":                               "objects of Kubernetes",
	"k8s.io/cli-runtime":                                "the flags of kubectl, for explain",
	"k8s.io/client-go":                                  "the API server",
	"k8s.io/klog/v2":                                    "the log of client-go",
	"sigs.k8s.io/controller-runtime":                    "controllers",
	"sigs.k8s.io/yaml":                                  "YAML, for files that explain reads",
}

// forbidden are the beginnings of paths of modules that must not be linked,
// whoever brings them, and why.
var forbidden = map[string]string{
	"k8s.io/kubernetes":                    "it is no library, and brings everything",
	"k8s.io/apiserver":                     "this serves no API",
	"github.com/docker/docker":             "a registry is asked, and no daemon",
	"github.com/moby/moby":                 "a registry is asked, and no daemon",
	"github.com/containerd/containerd":     "no container is run",
	"github.com/dgraph-io/badger":          "the tag store is files",
	"github.com/mattn/go-sqlite3":          "it needs cgo",
	"github.com/onsi/ginkgo":               "it is for tests",
	"github.com/stretchr/testify":          "it is for tests",
	"github.com/distribution/distribution": "it is a registry, for tests",
}
