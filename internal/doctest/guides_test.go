// SPDX-License-Identifier: Apache-2.0

package doctest

// guide is a page whose commands are run, and what a reader has and sees there.
type guide struct {
	page string
	// dir is where the reader stands, the clone unless it says otherwise.
	dir string
	// before is what others do before a command is typed.
	before map[string]func(*world)
	// prints are patterns that the output of a command must match.
	prints map[string]string
	// until is what an endless command prints when the reader goes on. It ends
	// with the page.
	until map[string]string
	// ends is what it prints on Ctrl-C.
	ends map[string]string
}

// guides are in an order in which each finds what it needs: at the end of the
// README everything is removed.
var guides = []guide{
	{
		page: "docs/guides/explain.md",
		before: map[string]func(*world){
			"kubectl get imagepolicies,imagerepositories -n apps -o yaml > all.yaml":  plugged,
			"image-reflector-controller explain -f clusters/prod/webapp.yaml || exit": guarded,
		},
		prints: map[string]string{
			"image-reflector-controller explain -f clusters/prod/webapp.yaml || exit": `Selected +1\.2\.0`,
			"image-reflector-controller explain webapp -f all.yaml":                   `Selected +1\.2\.0`,
		},
	},
	{
		page: "docs/guides/troubleshooting.md",
		prints: map[string]string{
			"kubectl get imagerepositories,imagepolicies -A": `default +imagepolicy\S*/podinfo .*True`,
			"kubectl describe imagerepository podinfo":       `(?s)Reason: +Succeeded.*Type: +Ready`,
			"kubectl imagepolicy explain podinfo":            `Status +6\.0\.0 sha256:[0-9a-f]{12}, as selected`,
		},
	},
	{
		page: "docs/guides/gates.md",
		before: map[string]func(*world){
			"kubectl create secret generic cosign-keys --from-file=cosign.pub": signing,
		},
		prints: map[string]string{
			"kubectl create secret generic cosign-keys --from-file=cosign.pub": `secret/cosign-keys created`,
		},
	},
	{page: "docs/spec/v1/README.md", prints: map[string]string{
		"kubectl -n default get imagepolicy podinfo -o jsonpath='{.status.latestRef}'": `"tag":"6\.0\.0"`,
	}},
	{page: "docs/spec/v1/imagepolicies.md"},
	{page: "docs/spec/v1/imagerepositories.md"},
	{page: "docs/guides/registries.md", prints: map[string]string{
		`kubectl create secret docker-registry org-registry --docker-server=registry.example.com --docker-username=reader --docker-password="$PASSWORD"`: `secret/org-registry created`,
	}},
	{page: "docs/guides/sharding.md", prints: map[string]string{
		"kustomize build shards | kubectl apply -f -":                                                         `deployment\.apps/image-reflector-controller-shard1 created`,
		"kubectl label --overwrite imagerepository/podinfo imagepolicy/podinfo sharding.fluxcd.io/key=shard1": `(?s)imagerepository\S*/podinfo labeled.*imagepolicy\S*/podinfo labeled`,
	}},
	{page: "docs/metrics.md", before: map[string]func(*world){"kubectl apply -k config/monitoring": operated}, prints: map[string]string{
		"kubectl apply -k config/monitoring": `(?s)podmonitor\S* created.*prometheusrule\S* created`,
	}},
	{
		page: "docs/guides/drop-in.md",
		dir:  fleet,
		before: map[string]func(*world){
			"mkdir flux-system/image-reflector-controller":                                bootstrapped,
			"kubectl -n flux-system rollout status deployment/image-reflector-controller": reconciled,
		},
		prints: map[string]string{
			"kubectl get crd imagepolicies.image.toolkit.fluxcd.io imagerepositories.image.toolkit.fluxcd.io -o custom-columns=NAME:.metadata.name,STORED:.status.storedVersions": `imagepolicies.image.toolkit.fluxcd.io +\[v1\]`,
			"kustomize build flux-system | grep 'image: .*image-reflector-controller'":                                                                                            `^ *image: \S+/image-reflector-controller:v1.0.0$`,
			`kubectl -n flux-system logs deployment/image-reflector-controller | grep '"starting"'`:                                                                               `"version":"`,
			"kubectl -n flux-system rollout status deployment/image-reflector-controller":                                                                                         `successfully rolled out`,
			"kubectl get imagerepositories,imagepolicies --all-namespaces":                                                                                                        `default +imagepolicy\S*/podinfo .*True`,
		},
	},
	{page: "hack/controlplane/README.md"},
	{
		page: "hack/quickstart/README.md",
		until: map[string]string{
			"make run": "kubectl get events",
		},
		ends: map[string]string{"make run": "Everything is stopped"},
		prints: map[string]string{
			"bin/quickstart push podinfo:1.11.0":                                `pushed \S+/podinfo:1\.11\.0 with sha256:`,
			"bin/quickstart retag webapp:main-0c5d8e1-1767398400 webapp:latest": `webapp:latest now has sha256:`,
			"bin/quickstart reconcile imagepolicy/samples/podinfo":              `ImagePolicy samples/podinfo`,
			"bin/image-reflector-controller explain podinfo -n samples":         `Selected +1\.1[01]\.0`,
			"kubectl get imagerepositories,imagepolicies -A":                    `samples +imagepolicy\S*/podinfo`,
		},
	},
	{
		page: "CONTRIBUTING.md",
		prints: map[string]string{
			"make help": `^Run$`,
		},
	},
	{
		page:   "docs/release.md",
		before: map[string]func(*world){"make release-notes VERSION=v1.0.0": renamed},
		prints: map[string]string{
			"make release-notes VERSION=v1.0.0":                                       `^- The timeout of an ImageRepository`,
			"git commit -a -m 'Release v1.0.0'":                                       `CHANGELOG\.md|1 file changed`,
			"git push origin main v1.0.0 api/v1.0.0":                                  `api/v1\.0\.0 -> api/v1\.0\.0`,
			"make image IMAGE=registry.example.com/image-reflector-controller:v1.0.0": `pushed \S+/image-reflector-controller:v1\.0\.0`,
		},
	},
	{
		page: "README.md",
		before: map[string]func(*world){
			"kubectl -n image-reflector-system rollout status deployment/image-reflector-controller": rolledOut("image-reflector-system"),
			"make run-local": alone,
		},
		prints: map[string]string{
			"kubectl -n default get imagepolicy podinfo -o wide":                                     `podinfo +.* 6\.0\.0`,
			"kubectl -n default get imagepolicy podinfo -o jsonpath='{.status.latestRef}'":           `"tag":"6\.0\.0"`,
			"kubectl imagepolicy explain podinfo -n default":                                         `Selected +6\.0\.0 sha256:`,
			"kubectl imagepolicy explain podinfo -n default --tag 6.1.0-rc.1":                        `is a prerelease`,
			"image-reflector-controller explain -f podinfo.yaml --tags tags.txt":                     `Selected +6\.0\.0`,
			"make image IMAGE=registry.example.com/image-reflector-controller:dev":                   `pushed \S+/image-reflector-controller:dev`,
			"make deploy IMG=registry.example.com/image-reflector-controller:dev":                    `deployment.apps/image-reflector-controller serverside-applied`,
			"kubectl -n image-reflector-system rollout status deployment/image-reflector-controller": `successfully rolled out`,
			"make undeploy":  `deployment.apps "image-reflector-controller" deleted`,
			"make install":   `imagepolicies.image.toolkit.fluxcd.io serverside-applied`,
			"make uninstall": `"imagepolicies.image.toolkit.fluxcd.io" deleted`,
		},
		until: map[string]string{"make run-local": "Starting workers"},
		ends:  map[string]string{"make run-local": "Stopping and waiting"},
	},
}

// notRun are the commands that can't be run here, or not now, each with the
// reason. What is run on another page is looked for there.
var notRun = map[string]map[string]string{
	"README.md": {
		"make run":  onPage + "hack/quickstart/README.md",
		"make test": "runs this test",
	},
	"CONTRIBUTING.md": {
		"make test":              "runs this test",
		"make fuzz":              "takes minutes, and CI runs it",
		"make lint":              "takes minutes, and CI runs it",
		"make verify":            "asks the module proxy of every module, and CI runs it",
		".ci/run":                "runs this test",
		"make licenses":          "CI runs it",
		"make vulncheck":         "needs the network, and CI runs it",
		"make conformance":       "builds five CLIs, which takes minutes",
		"make soak":              "takes 10 minutes",
		"make kills":             "takes minutes",
		"make dev":               "runs until Ctrl-C, and is more than it prints: TestDevelopment of hack/quickstart",
		"make generate api-docs": "part of make verify",
		"make fmt":               "part of make lint",
		"go test ./internal/e2e -run TestExplain": "part of make test, beside this test",
	},
	"docs/guides/clients.md": {
		"make conformance": "builds five CLIs, which takes minutes",
	},
	"docs/guides/troubleshooting.md": {
		"flux reconcile image repository podinfo": fluxCLI,
	},
	"docs/spec/v1/imagepolicies.md": {
		"flux reconcile image policy podinfo": fluxCLI,
	},
	"docs/spec/v1/imagerepositories.md": {
		"flux reconcile image repository podinfo": fluxCLI,
	},
	"hack/quickstart/README.md": {
		"make run ONCE=1": "does what make run does, and ends by itself: TestEverySampleResolves of hack/quickstart",
	},
	"hack/controlplane/README.md": {
		"make controlplane-test":     "part of make test",
		"make controlplane-replaces": "asks the module proxy for the go.mod of Kubernetes, and changes files",
		"make controlplane-check":    "asks the module proxy, and is part of make verify",
		`KUBEBUILDER_ASSETS="$(go -C hack/controlplane run . build)" go test ./...`:       "runs this test",
		"cd hack/controlplane/apiserver && go mod edit -require=k8s.io/kubernetes@v1.x.y": "stands for a version that is yet to come",
	},
}

const (
	onPage  = "run on the page "
	fluxCLI = "needs the flux CLI, which a fresh clone has not; the line after it does the same with kubectl"
)
