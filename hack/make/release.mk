# Releases: see docs/release.md.

##@ Release

CHANGELOG ?= CHANGELOG.md

.PHONY: release-notes
release-notes: ## Print the section of a version in the changelog. VERSION=v1.0.0, or VERSION=Unreleased
	@awk -v version='$(if $(filter command line environment,$(origin VERSION)),$(VERSION))' \
		-v files=https://github.com/fluxcd/image-reflector-controller/blob/ -f hack/make/release-notes.awk $(CHANGELOG)
