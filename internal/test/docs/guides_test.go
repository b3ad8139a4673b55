// SPDX-License-Identifier: Apache-2.0

package docs

// guide is a page whose commands are run.
type guide struct {
	page string
	// dir is where the reader stands, the clone unless it says otherwise.
	dir string
	// steps are the commands of which there is more than that they succeed.
	steps map[string]step
}

// step is what a reader has and sees at a command.
type step struct {
	// notRun is the reason why the command can't be run here.
	notRun string
	// before is what others do before the command is typed.
	before func(*world)
	// prints is a pattern that the output must match.
	prints string
	// until is what an endless command prints when the reader goes on. It ends
	// with the page, and prints ends on Ctrl-C.
	until, ends string
}

const fluxCLI = "needs the flux CLI, which a fresh clone has not; the line after it does the same with kubectl"

// guides are in an order in which each finds what it needs: at the end of the
// README everything is removed.
var guides = []guide{
	{page: "docs/guides/explain.md", steps: map[string]step{
		"kubectl get imagepolicies,imagerepositories -n apps -o yaml > all.yaml":  {before: plugged},
		"image-reflector-controller explain -f clusters/prod/webapp.yaml || exit": {prints: `Selected +1\.2\.0`},
		"image-reflector-controller explain webapp -f all.yaml":                   {prints: `Selected +1\.2\.0`},
	}},
	{page: "docs/guides/troubleshooting.md", steps: map[string]step{
		"kubectl get imagerepositories,imagepolicies -A": {prints: `default +imagepolicy\S*/podinfo .*True`},
		"kubectl describe imagerepository podinfo":       {prints: `(?s)Reason: +Succeeded.*Type: +Ready`},
		"flux reconcile image repository podinfo":        {notRun: fluxCLI},
	}},
	{page: "docs/guides/gates.md", steps: map[string]step{
		"kubectl create secret generic cosign-keys --from-file=cosign.pub": {before: signing, prints: `secret/cosign-keys created`},
	}},
	{page: "docs/spec/v1/README.md", steps: map[string]step{
		"kubectl -n default get imagepolicy podinfo -o jsonpath='{.status.latestRef}'": {prints: `"tag":"6\.0\.0"`},
	}},
	{page: "docs/spec/v1/imagepolicies.md", steps: map[string]step{
		"flux reconcile image policy podinfo": {notRun: fluxCLI},
	}},
	{page: "docs/spec/v1/imagerepositories.md", steps: map[string]step{
		"flux reconcile image repository podinfo": {notRun: fluxCLI},
	}},
	{page: "docs/guides/registries.md", steps: map[string]step{
		`kubectl create secret docker-registry org-registry --docker-server=registry.example.com --docker-username=reader --docker-password="$PASSWORD"`: {prints: `secret/org-registry created`},
	}},
	{page: "docs/guides/sharding.md", steps: map[string]step{
		"kustomize build shards | kubectl apply -f -":                                                         {prints: `deployment\.apps/image-reflector-controller-shard1 created`},
		"kubectl label --overwrite imagerepository/podinfo imagepolicy/podinfo sharding.fluxcd.io/key=shard1": {before: sharded, prints: `(?s)imagerepository\S*/podinfo labeled.*imagepolicy\S*/podinfo labeled`},
	}},
	{page: "docs/metrics.md", steps: map[string]step{
		"kubectl apply -k config/monitoring": {before: operated, prints: `(?s)podmonitor\S* created.*prometheusrule\S* created`},
	}},
	{page: "docs/guides/drop-in.md", dir: fleet, steps: map[string]step{
		"mkdir flux-system/image-reflector-controller":                                {before: bootstrapped},
		"kubectl -n flux-system rollout status deployment/image-reflector-controller": {before: reconciled, prints: `successfully rolled out`},
		"kubectl get crd imagepolicies.image.toolkit.fluxcd.io imagerepositories.image.toolkit.fluxcd.io -o custom-columns=NAME:.metadata.name,STORED:.status.storedVersions": {prints: `imagepolicies.image.toolkit.fluxcd.io +\[v1\]`},
		"kustomize build flux-system | grep 'image: .*image-reflector-controller'":                                                                                            {prints: `^ *image: \S+/image-reflector-controller:v1.0.0$`},
		`kubectl -n flux-system logs deployment/image-reflector-controller | grep '"starting"'`:                                                                               {notRun: "no kubelet runs here: TestFlags_AcceptFluxInstallation of internal/test/e2e reads that line"},
		"kubectl get imagerepositories,imagepolicies --all-namespaces":                                                                                                        {prints: `default +imagepolicy\S*/podinfo .*True`},
	}},
	{page: "hack/controlplane/README.md", steps: map[string]step{
		"make controlplane-test":     {notRun: "part of make test"},
		"make controlplane-replaces": {notRun: "asks the module proxy for the go.mod of Kubernetes, and changes files"},
		"make controlplane-check":    {notRun: "asks the module proxy, and is part of make verify"},
		`KUBEBUILDER_ASSETS="$(go -C hack/controlplane run . build)" go test ./...`:       {notRun: "runs this test"},
		"cd hack/controlplane/apiserver && go mod edit -require=k8s.io/kubernetes@v1.x.y": {notRun: "stands for a version that is yet to come"},
	}},
	{page: "hack/quickstart/README.md", steps: map[string]step{
		"bin/quickstart push podinfo:1.11.0":                                {prints: `pushed \S+/podinfo:1\.11\.0 with sha256:`},
		"bin/quickstart retag webapp:main-0c5d8e1-1767398400 webapp:latest": {prints: `webapp:latest now has sha256:`},
		"bin/quickstart reconcile imagepolicy/samples/podinfo":              {prints: `ImagePolicy samples/podinfo`},
		"bin/image-reflector-controller explain podinfo -n samples":         {prints: `Selected +1\.1[01]\.0`},
		"kubectl get imagerepositories,imagepolicies -A":                    {prints: `samples +imagepolicy\S*/podinfo`},
		"make run":        {until: "kubectl get events", ends: "Everything is stopped"},
		"make run ONCE=1": {notRun: "does what make run does, and ends by itself: TestQuickstart_ResolvesEverySample of hack/quickstart"},
	}},
	{page: "CONTRIBUTING.md", steps: map[string]step{
		"make help":                   {prints: `^Run$`},
		"make test":                   {notRun: "runs this test"},
		"make fuzz":                   {notRun: "takes minutes, and CI runs it"},
		"make lint":                   {notRun: "takes minutes, and CI runs it"},
		"make verify":                 {notRun: "asks the module proxy of every module, and CI runs it"},
		".ci/run":                     {notRun: "runs this test"},
		"make licenses":               {notRun: "CI runs it"},
		"make vulncheck":              {notRun: "needs the network, and CI runs it"},
		"make conformance":            {notRun: "builds five CLIs, which takes minutes"},
		"make soak":                   {notRun: "takes 10 minutes"},
		"make kills":                  {notRun: "takes minutes"},
		"make dev":                    {notRun: "runs until Ctrl-C, and is more than it prints: TestDevelop_RestartsControllerOnSourceChanges of hack/quickstart"},
		"make generate api-docs docs": {notRun: "part of make verify"},
		"make fmt":                    {notRun: "part of make lint"},
		"go test ./internal/test/e2e -run TestExplain": {notRun: "part of make test, beside this test"},
	}},
	{page: "docs/release.md", steps: map[string]step{
		"make release-notes VERSION=v1.0.0":                                       {before: renamed, prints: `^- The timeout of an ImageRepository`},
		"git commit -a -m 'Release v1.0.0'":                                       {prints: `CHANGELOG\.md|1 file changed`},
		"git push origin main v1.0.0 api/v1.0.0":                                  {prints: `api/v1\.0\.0 -> api/v1\.0\.0`},
		"make image IMAGE=registry.example.com/image-reflector-controller:v1.0.0": {prints: `pushed \S+/image-reflector-controller:v1\.0\.0`},
	}},
	{page: "docs/guides/clients.md", steps: map[string]step{
		"make conformance": {notRun: "builds five CLIs, which takes minutes"},
	}},
	{page: "README.md", steps: map[string]step{
		"kubectl -n image-reflector-system rollout status deployment/image-reflector-controller": {before: rolledOut("image-reflector-system"), prints: `successfully rolled out`},
		"make run-local": {before: alone, until: "Starting workers", ends: "Stopping and waiting"},
		"kubectl -n default get imagepolicy podinfo -o wide":                           {prints: `podinfo +.* 6\.0\.0`},
		"kubectl -n default get imagepolicy podinfo -o jsonpath='{.status.latestRef}'": {prints: `"tag":"6\.0\.0"`},
		"kubectl imagepolicy explain podinfo -n default":                               {prints: `Selected +6\.0\.0 sha256:`},
		"kubectl imagepolicy explain podinfo -n default --tag 6.1.0-rc.1":              {prints: `is a prerelease`},
		"image-reflector-controller explain -f podinfo.yaml --tags tags.txt":           {prints: `Selected +6\.0\.0`},
		"make image IMAGE=registry.example.com/image-reflector-controller:dev":         {prints: `pushed \S+/image-reflector-controller:dev`},
		"make deploy IMG=registry.example.com/image-reflector-controller:dev":          {prints: `deployment.apps/image-reflector-controller serverside-applied`},
		"make undeploy":  {prints: `deployment.apps "image-reflector-controller" deleted`},
		"make install":   {prints: `imagepolicies.image.toolkit.fluxcd.io serverside-applied`},
		"make uninstall": {prints: `"imagepolicies.image.toolkit.fluxcd.io" deleted`},
		"make run":       {notRun: "run on the page hack/quickstart/README.md"},
		"make test":      {notRun: "runs this test"},
	}},
}
