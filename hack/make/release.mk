# What a release needs: docs/release.md says how it is made.

##@ Release

CHANGELOG ?= CHANGELOG.md

.PHONY: release-notes
release-notes: ## Print what the changelog says of a version. VERSION=v1.0.0, or VERSION=Unreleased
	@awk -v version='$(if $(filter command line environment,$(origin VERSION)),$(VERSION))' \
		-v files=https://github.com/fluxcd/image-reflector-controller/blob/ -f hack/make/release-notes.awk $(CHANGELOG)
