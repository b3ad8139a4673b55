# Releases: see docs/release.md.

##@ Release

CHANGELOG ?= CHANGELOG.md

# Recipes quote these variables.
ifneq ($(findstring ',$(VERSION)$(IMAGE)$(DRY_RUN)$(RELEASE_BUILDER)),)
$(error VERSION, IMAGE, DRY_RUN and RELEASE_BUILDER must not contain a quote)
endif

# The default of VERSION applies only to builds.
RELEASE_VERSION = $(if $(filter command line environment,$(origin VERSION)),$(VERSION))

# The platforms of the plugin. The image has those of Linux.
RELEASE_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

RELEASE_REPOSITORY := https://github.com/fluxcd/image-reflector-controller
# Where users download the files.
RELEASE_URL ?= $(RELEASE_REPOSITORY)/releases/download/$(RELEASE_VERSION)
# The build platform in the provenance, as a URI.
RELEASE_BUILDER ?= $(RELEASE_REPOSITORY)/blob/main/docs/release.md\#provenance
# The image that the manifests contain, and to which it is pushed.
RELEASE_IMAGE = $(or $(IMAGE),ghcr.io/fluxcd/image-reflector-controller:$(RELEASE_VERSION))

RELEASES ?= build/release
RELEASE_DIR   = $(RELEASES)/$(RELEASE_VERSION)
# The folder gets its name when it is complete.
RELEASE_WORK  = $(RELEASE_DIR).unfinished
RELEASE_FILES = $(RELEASE_WORK)/files
RELEASE_PLUGINS = $(foreach platform,$(RELEASE_PLATFORMS),flux-imagepolicy/$(platform)=$(abspath $(RELEASE_WORK))/plugin/$(platform))
RELEASE_ARCHITECTURES = $(patsubst linux/%,%,$(filter linux/%,$(RELEASE_PLATFORMS)))
RELEASE_CONTROLLERS = $(foreach architecture,$(RELEASE_ARCHITECTURES),image-reflector-controller/linux/$(architecture)=$(abspath $(RELEASE_WORK))/image/$(architecture))
RELEASE_PROGRAMS = $(RELEASE_CONTROLLERS) $(RELEASE_PLUGINS)

# Settings of the caller that would change the binaries of a release.
RELEASE_SETTINGS := GOWORK=off GOAMD64=v1 GOARM64=v8.0 GOFIPS140=off GOEXPERIMENT= GOFLAGS="-mod=readonly $(COMMON_FLAGS)"
release: override COMMIT = $(shell git rev-parse HEAD)
release: override SOURCE_DATE_EPOCH = $(COMMIT_TIME)

# Renders a folder ($1) with the tag and the digest of the image into a file ($2).
RELEASE_MANIFEST = mkdir -p $(RELEASE_WORK)/$(1) && cd $(RELEASE_WORK)/$(1) && \
	cp -R $(CURDIR)/config . && $(KUSTOMIZE) create --resources config/$(1) && \
	$(KUSTOMIZE) edit set image "image-reflector-controller=$(RELEASE_IMAGE)@$$digest" && $(KUSTOMIZE) build . >$(abspath $(RELEASE_FILES))/$(2)

.PHONY: release-notes
release-notes: ## Print the section of a version in the changelog. VERSION=v1.0.0, or VERSION=Unreleased
	@awk -v version='$(RELEASE_VERSION)' \
		-v files=$(RELEASE_REPOSITORY)/blob/ -f hack/make/release-notes.awk $(CHANGELOG)

.PHONY: release
release: release-check $(KUSTOMIZE) ## Build the files of VERSION=v1.0.0 into build/release, and push the image to IMAGE. DRY_RUN=1 pushes nothing.
	@rm -rf $(RELEASE_WORK) && mkdir -p $(RELEASE_FILES)
	@$(MAKE) --no-print-directory release-notes >$(RELEASE_FILES)/NOTES.md || { [ -n "$(DRY_RUN)" ] && \
		echo "the notes are those of Unreleased" >&2 && $(MAKE) --no-print-directory release-notes VERSION=Unreleased >$(RELEASE_FILES)/NOTES.md; }
	@for platform in $(RELEASE_PLATFORMS); do \
		echo "building flux-imagepolicy for $$platform"; \
		(export $(RELEASE_SETTINGS) && $(CONTROLPLANE) compile -name "flux-imagepolicy for $$platform" -dir $(CURDIR) \
			-env GOOS=$${platform%/*} -env GOARCH=$${platform#*/} -o $(abspath $(RELEASE_WORK))/plugin/$$platform -- $(BUILD_FLAGS) ./internal/explain/plugin); \
	done
	@$(MAKE) --no-print-directory image IMAGE= IMAGE_BUILD=$(RELEASE_WORK)/image ARCHITECTURES="$(RELEASE_ARCHITECTURES)" \
		$(RELEASE_SETTINGS) COMMIT=$(COMMIT) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH)
	@$(KUSTOMIZE) build config/crd >$(RELEASE_FILES)/image-reflector-controller.crds.yaml
	@digest=$$(sed -n 's/.*"digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' $(RELEASE_WORK)/image/oci/index.json) && \
		($(call RELEASE_MANIFEST,manager,image-reflector-controller.deployment.yaml)) && ($(call RELEASE_MANIFEST,default,install.yaml))
	@GOWORK=off go -C hack/licenses run . -notice $(abspath $(RELEASE_FILES))/THIRD_PARTY_NOTICES.txt \
		-json $(abspath $(RELEASE_WORK))/licenses.json $(foreach program,$(RELEASE_PROGRAMS),$(lastword $(subst =, ,$(program)))) >/dev/null
	@GOWORK=off go -C hack/release run . -version $(RELEASE_VERSION) -commit $(COMMIT) -created $(SOURCE_DATE_EPOCH) -builder '$(RELEASE_BUILDER)' \
		-repository $(RELEASE_REPOSITORY) -url $(RELEASE_URL) -image $(RELEASE_IMAGE) -dir $(abspath $(RELEASE_FILES)) \
		-image-layout $(abspath $(RELEASE_WORK))/image/oci -license $(CURDIR)/LICENSE -licenses $(abspath $(RELEASE_WORK))/licenses.json $(RELEASE_PROGRAMS)
	@if [ -z "$(DRY_RUN)" ]; then \
		go run ./hack/image -version "$(RELEASE_VERSION)" -commit "$(COMMIT)" -created "$(SOURCE_DATE_EPOCH)" -push "$(RELEASE_IMAGE)" -keep \
			$(foreach architecture,$(RELEASE_ARCHITECTURES),$(architecture)=$(RELEASE_WORK)/image/$(architecture)); \
	fi
	@mv $(RELEASE_FILES) $(RELEASE_DIR) && rm -rf $(RELEASE_WORK)
	@echo "the files are in $(RELEASE_DIR)"
	@if [ -z "$(DRY_RUN)" ]; then \
		echo "sign and publish them as docs/release.md describes, or: gh release create $(RELEASE_VERSION) $(if $(findstring -,$(RELEASE_VERSION)),--prerelease )--verify-tag --notes-file $(RELEASE_DIR)/NOTES.md $(RELEASE_DIR)/*"; \
	else \
		echo "dry run: nothing was published. Without DRY_RUN=1, make release pushes the image to $(RELEASE_IMAGE)"; \
	fi

.PHONY: release-check
release-check:
	@hack/make/release-check.sh '$(RELEASE_VERSION)' '$(RELEASE_DIR)' '$(RELEASE_IMAGE)' '$(DRY_RUN)'

.PHONY: release-test
release-test: ## Test the command that writes SBOM, provenance and archives.
	GOWORK=off go -C hack/release test -count=1 ./...
