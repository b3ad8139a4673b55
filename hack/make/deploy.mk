# Into the cluster of the current KUBECONFIG. No kubectl is needed: hack/apply does what it would be needed for.

##@ Cluster

# The image that is deployed: that of make image, where both are run at once. Its default is what
# "docker build -t image-reflector-controller:dev ." makes, for a cluster on the same machine.
IMG ?= $(or $(IMAGE),image-reflector-controller:dev)

APPLY := go run ./hack/apply

# config/default with the image replaced, in a folder that git ignores, so that deploying changes no file.
OVERLAY := build/deploy
RENDER   = rm -rf $(OVERLAY) && mkdir -p $(OVERLAY) && cd $(OVERLAY) && \
	$(KUSTOMIZE) create --resources ../../config/default && \
	$(KUSTOMIZE) edit set image "image-reflector-controller=$(IMG)" && \
	$(KUSTOMIZE) build .

# An image without a tag would silently get the one of the default.
.PHONY: deploy-image
deploy-image:
	@image='$(IMG)'; case "$${image##*/}" in \
		?*:?*) ;; \
		*) echo "IMG is '$$image', which has no tag: write IMG=registry.example.com/image-reflector-controller:dev" >&2; exit 1;; \
	esac

.PHONY: install
install: $(KUSTOMIZE) ## Install the CRDs into the cluster of your KUBECONFIG.
	@$(KUSTOMIZE) build config/crd | $(APPLY)

.PHONY: uninstall
uninstall: $(KUSTOMIZE) ## Remove the CRDs, and with them every ImageRepository and ImagePolicy.
	@$(KUSTOMIZE) build config/crd | $(APPLY) -delete

.PHONY: deploy
deploy: deploy-image $(KUSTOMIZE) ## Install CRDs and controller. IMG=registry/name:tag says which image.
	@($(RENDER)) | $(APPLY)
	@echo "see it come up: kubectl -n image-reflector-system rollout status deployment/image-reflector-controller"

.PHONY: undeploy
undeploy: $(KUSTOMIZE) ## Remove the controller. CRDs and objects stay: uninstall removes them.
	@$(KUSTOMIZE) build config/default | $(APPLY) -delete -keep CustomResourceDefinition

.PHONY: render
render: deploy-image $(KUSTOMIZE) ## Print what deploy applies, for kubectl or a Git repository.
	@$(RENDER)
