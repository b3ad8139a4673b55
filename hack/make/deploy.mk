# Deployment to the cluster of the current KUBECONFIG, by server-side apply.

##@ Cluster

# The installed kubectl or, if there is none, the one built with the control plane.
INSTALLED_KUBECTL := $(shell command -v kubectl)
KUBECTL ?= $(or $(INSTALLED_KUBECTL),"$(CONTROLPLANE_ASSETS)/kubectl")

# The image to deploy: the IMAGE of make image, if both run together. The default is the result of
# "docker build -t image-reflector-controller:dev ." for a cluster on the same machine.
IMG ?= $(or $(IMAGE),image-reflector-controller:dev)

# How long to wait until the cluster serves the CRDs, or has deleted objects.
TIMEOUT ?= 2m

CRDS := crd/imagepolicies.image.toolkit.fluxcd.io crd/imagerepositories.image.toolkit.fluxcd.io

# Applies the output of a command ($1), after waiting for the deletion of objects ($2) that are being deleted.
APPLY = $(KUBECTL) get --ignore-not-found --no-headers -o custom-columns=:kind,:metadata.name,:metadata.deletionTimestamp $(2) | \
	awk 'NF > 2 && $$3 != "<none>" {print $$1 "/" $$2}' | xargs -r $(KUBECTL) wait --for=delete --timeout=$(TIMEOUT) && \
	$(1) | $(KUBECTL) apply --server-side --force-conflicts --field-manager=image-reflector-install -f - && \
	$(KUBECTL) wait --for=condition=Established --timeout=$(TIMEOUT) $(CRDS)

# config/default with the image replaced, in a folder that git ignores, so that deploying changes no tracked file.
OVERLAY := build/deploy
RENDER   = rm -rf $(OVERLAY) && mkdir -p $(OVERLAY) && cd $(OVERLAY) && \
	$(KUSTOMIZE) create --resources ../../config/default && \
	$(KUSTOMIZE) edit set image "image-reflector-controller=$(IMG)" && \
	$(KUSTOMIZE) build .

# Without a kubeconfig, kubectl would report that localhost refuses connections.
.PHONY: cluster
cluster: $(if $(INSTALLED_KUBECTL),,controlplane)
	@server=$$($(KUBECTL) config view --minify -o jsonpath='{.clusters[0].cluster.server}' 2>/dev/null) || server=$${KUBERNETES_SERVICE_HOST:-}; \
	if [ -z "$$server" ]; then \
		echo "no cluster is configured: KUBECONFIG is '$${KUBECONFIG:-}', set it to the kubeconfig of a cluster (make run starts one)" >&2; exit 1; \
	fi; \
	echo "cluster $$server"

# An image without a tag would silently use the tag of the default.
.PHONY: deploy-image
deploy-image:
	@image='$(IMG)'; case "$${image##*/}" in \
		?*:?*) ;; \
		*) echo "IMG is '$$image', which has no tag: write IMG=registry.example.com/image-reflector-controller:dev" >&2; exit 1;; \
	esac

.PHONY: install
install: cluster $(KUSTOMIZE) ## Install the CRDs into the cluster of your KUBECONFIG.
	@$(call APPLY,$(KUSTOMIZE) build config/crd,$(CRDS))

.PHONY: uninstall
uninstall: cluster ## Remove the CRDs, and with them every ImageRepository and ImagePolicy.
	@$(KUBECTL) delete --ignore-not-found --timeout=$(TIMEOUT) $(CRDS)

.PHONY: deploy
deploy: deploy-image cluster $(KUSTOMIZE) ## Install CRDs and controller with the image IMG=registry/name:tag.
	@$(call APPLY,($(RENDER)),$(CRDS) namespace/image-reflector-system)
	@echo "watch the rollout: kubectl -n image-reflector-system rollout status deployment/image-reflector-controller"

# Does not wait: the namespace may take long to be deleted.
.PHONY: undeploy
undeploy: cluster $(KUSTOMIZE) ## Remove the controller. CRDs and objects stay: uninstall removes them.
	@rm -rf $(OVERLAY) && mkdir -p $(OVERLAY) && cd $(OVERLAY) && \
		$(KUSTOMIZE) create --resources ../../config/default && $(KUSTOMIZE) edit add component ../../config/flux/without-crds && \
		$(KUSTOMIZE) build . | $(KUBECTL) delete --ignore-not-found --wait=false -f -

.PHONY: render
render: deploy-image $(KUSTOMIZE) ## Print what deploy applies, for kubectl or a Git repository.
	@$(RENDER)
