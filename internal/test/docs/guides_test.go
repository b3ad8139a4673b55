// SPDX-License-Identifier: Apache-2.0

package docs

// guidePage is a page whose commands are run.
type guidePage struct {
	page string
	// dir is the working directory; the clone if empty.
	dir string
	// steps are the commands with more requirements than that they succeed.
	steps map[string]step
}

// step has the setup and the expected output of a command.
type step struct {
	// skipReason is the reason why the command can't be run here.
	skipReason string
	// before prepares the fixture for the command, or checks it.
	before func(*fixture)
	// prints is a pattern that the output must match.
	prints string
	// until is the output of an endless command after which the next command runs. It is stopped
	// at the end of the page, and prints ends on Ctrl-C.
	until, ends string
}

const (
	fluxCLI      = "needs the flux CLI, which a fresh clone does not have; the next line does the same with kubectl"
	fromRelease  = "needs a published release: TestRelease_InstallsFromProducedFiles of hack/make does the same with files on this machine"
	buildRelease = "compiles for five platforms: TestRelease_InstallsFromProducedFiles of hack/make does so for one"
	signRelease  = "needs an identity of Sigstore"
)

// guides are in the order of their dependencies: the end of the README removes everything.
var guides = []guidePage{
	{page: "docs/guides/explain.md", steps: map[string]step{
		"kubectl get imagepolicies,imagerepositories -n apps -o yaml > all.yaml":                                                               {before: checkPlugins},
		"image-reflector-controller explain -f clusters/prod/webapp.yaml || exit":                                                              {prints: `Selected +1\.2\.0`},
		"image-reflector-controller explain webapp -f all.yaml":                                                                                {prints: `Selected +1\.2\.0`},
		"kubectl krew install --manifest-url=https://github.com/fluxcd/image-reflector-controller/releases/latest/download/krew.yaml":          {skipReason: fromRelease},
		"FLUXCD_PLUGIN_CATALOG=https://github.com/fluxcd/image-reflector-controller/releases/latest/download/ flux plugin install imagepolicy": {skipReason: fromRelease},
	}},
	{page: "docs/guides/troubleshooting.md", steps: map[string]step{
		"kubectl get imagerepositories,imagepolicies -A": {prints: `default +imagepolicy\S*/podinfo .*True`},
		"kubectl describe imagerepository podinfo":       {prints: `(?s)Reason: +Succeeded.*Type: +Ready`},
		"flux reconcile image repository podinfo":        {skipReason: fluxCLI},
	}},
	{page: "docs/guides/gates.md", steps: map[string]step{
		"kubectl create secret generic cosign-keys --from-file=cosign.pub": {before: writePublicKey, prints: `secret/cosign-keys created`},
	}},
	{page: "docs/spec/v1/README.md", steps: map[string]step{
		"kubectl -n default get imagepolicy podinfo -o jsonpath='{.status.latestRef}'": {prints: `"tag":"6\.0\.0"`},
	}},
	{page: "docs/spec/v1/imagepolicies.md", steps: map[string]step{
		"flux reconcile image policy podinfo": {skipReason: fluxCLI},
	}},
	{page: "docs/spec/v1/imagerepositories.md", steps: map[string]step{
		"flux reconcile image repository podinfo": {skipReason: fluxCLI},
	}},
	{page: "docs/guides/registries.md", steps: map[string]step{
		`kubectl create secret docker-registry org-registry --docker-server=registry.example.com --docker-username=reader --docker-password="$PASSWORD"`: {prints: `secret/org-registry created`},
	}},
	{page: "docs/guides/mirrors.md", steps: map[string]step{
		"kustomize build mirrors | kubectl apply -f -": {prints: `configmap/registry-mirrors created`},
	}},
	{page: "docs/guides/sharding.md", steps: map[string]step{
		"kustomize build shards | kubectl apply -f -":                                                         {prints: `deployment\.apps/image-reflector-controller-shard1 created`},
		"kubectl label --overwrite imagerepository/podinfo imagepolicy/podinfo sharding.fluxcd.io/key=shard1": {before: checkShards, prints: `(?s)imagerepository\S*/podinfo labeled.*imagepolicy\S*/podinfo labeled`},
	}},
	{page: "docs/metrics.md", steps: map[string]step{
		"kubectl apply -k config/monitoring": {before: installOperatorCRDs, prints: `(?s)podmonitor\S* created.*prometheusrule\S* created`},
	}},
	{page: "docs/guides/drop-in.md", dir: fleet, steps: map[string]step{
		"mkdir flux-system/image-reflector-controller":                                {before: bootstrapFlux},
		"kubectl -n flux-system rollout status deployment/image-reflector-controller": {before: applyPushed, prints: `successfully rolled out`},
		"kubectl get crd imagepolicies.image.toolkit.fluxcd.io imagerepositories.image.toolkit.fluxcd.io -o custom-columns=NAME:.metadata.name,STORED:.status.storedVersions": {prints: `imagepolicies.image.toolkit.fluxcd.io +\[v1\]`},
		"kustomize build flux-system | grep 'image: .*image-reflector-controller'":                                                                                            {prints: `^ *image: \S+/image-reflector-controller:v1.0.0$`},
		`kubectl -n flux-system logs deployment/image-reflector-controller | grep '"starting"'`:                                                                               {skipReason: "no kubelet runs here: TestFlags_AcceptFluxInstallation of internal/test/e2e reads that line"},
		"kubectl get imagerepositories,imagepolicies --all-namespaces":                                                                                                        {prints: `default +imagepolicy\S*/podinfo .*True`},
	}},
	{page: "hack/controlplane/README.md", steps: map[string]step{
		"make controlplane-test":     {skipReason: "part of make test"},
		"make controlplane-replaces": {skipReason: "requests the go.mod of Kubernetes from the module proxy, and changes files"},
		"make controlplane-check":    {skipReason: "needs the module proxy, and is part of make verify"},
		`KUBEBUILDER_ASSETS="$(go -C hack/controlplane run . build)" go test ./...`: {skipReason: "runs this test"},
		"go get k8s.io/client-go@v0.x.y k8s.io/apiextensions-apiserver@v0.x.y":      {skipReason: "has placeholders for a future version"},
	}},
	{page: "hack/quickstart/README.md", steps: map[string]step{
		"bin/quickstart push podinfo:1.11.0":                                 {prints: `pushed \S+/podinfo:1\.11\.0 with sha256:`},
		"bin/quickstart retag webapp:main-0c5d8e1-1767398400 webapp:latest":  {prints: `webapp:latest now has sha256:`},
		"bin/quickstart reconcile imagepolicy/samples/podinfo":               {prints: `ImagePolicy samples/podinfo`},
		"bin/image-reflector-controller explain podinfo -n samples":          {prints: `Selected +1\.1[01]\.0`},
		"bin/image-reflector-controller explain payments -n samples --gates": {prints: `1\.1\.0 +rejected by spec\.verify`},
		"kubectl get imagerepositories,imagepolicies -A":                     {prints: `samples +imagepolicy\S*/podinfo`},
		"make run":        {until: "kubectl get events", ends: "Everything is stopped"},
		"make run ONCE=1": {skipReason: "does the same as make run, and exits: tested by TestQuickstart_ResolvesEverySample of hack/quickstart"},
	}},
	{page: "CONTRIBUTING.md", steps: map[string]step{
		"make help":                   {prints: `^Run$`},
		"make test":                   {skipReason: "runs this test"},
		"make fuzz":                   {skipReason: "takes minutes, and CI runs it"},
		"make lint":                   {skipReason: "takes minutes, and CI runs it"},
		"make verify":                 {skipReason: "needs the module proxy, and CI runs it"},
		".ci/run":                     {skipReason: "runs this test"},
		"make licenses":               {skipReason: "CI runs it"},
		"make vulncheck":              {skipReason: "needs the network, and CI runs it"},
		"make conformance":            {skipReason: "builds five CLIs, which takes minutes"},
		"make soak":                   {skipReason: "takes 10 minutes"},
		"make kills":                  {skipReason: "takes minutes"},
		"make dev":                    {skipReason: "runs until Ctrl-C: tested by TestDevelop_RestartsControllerOnSourceChanges of hack/quickstart"},
		"make generate api-docs docs": {skipReason: "part of make verify"},
		"make fmt":                    {skipReason: "part of make lint"},
		"go test ./internal/test/e2e -run TestExplain": {skipReason: "part of make test, like this test"},
	}},
	{page: "docs/release.md", steps: map[string]step{
		"make release-notes VERSION=v1.0.0":                                         {before: createReleaseGitRepository, prints: `^- The timeout of an ImageRepository`},
		"git commit -a -m 'Release v1.0.0'":                                         {prints: `CHANGELOG\.md|1 file changed`},
		"git push origin main v1.0.0 api/v1.0.0":                                    {prints: `api/v1\.0\.0 -> api/v1\.0\.0`},
		"make release VERSION=v1.0.0-rc.1 DRY_RUN=1":                                {skipReason: buildRelease},
		"make release VERSION=v1.0.0":                                               {skipReason: buildRelease},
		"cosign sign --yes ghcr.io/fluxcd/image-reflector-controller@sha256:DIGEST": {skipReason: signRelease},
		"cosign sign-blob --yes --bundle build/release/v1.0.0/checksums.txt.sigstore.json build/release/v1.0.0/checksums.txt":                                                                                                                {skipReason: signRelease},
		"gh release create v1.0.0 --verify-tag --notes-file build/release/v1.0.0/NOTES.md build/release/v1.0.0/*":                                                                                                                            {skipReason: "publishes on GitHub"},
		"cosign verify-blob --bundle checksums.txt.sigstore.json --certificate-oidc-issuer https://token.actions.githubusercontent.com --certificate-identity-regexp '^https://github.com/fluxcd/image-reflector-controller/' checksums.txt": {skipReason: fromRelease},
		"sha256sum --check --ignore-missing checksums.txt": {skipReason: fromRelease},
	}},
	{page: "docs/guides/clients.md", steps: map[string]step{
		"make conformance": {skipReason: "builds five CLIs, which takes minutes"},
	}},
	{page: "README.md", steps: map[string]step{
		"kubectl -n image-reflector-system rollout status deployment/image-reflector-controller": {before: markRolledOut("image-reflector-system"), prints: `successfully rolled out`},
		"make run-local": {before: stopController, until: "Starting workers", ends: "Stopping and waiting"},
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
		"make run":       {skipReason: "run on the page hack/quickstart/README.md"},
		"make test":      {skipReason: "runs this test"},
	}},
}
