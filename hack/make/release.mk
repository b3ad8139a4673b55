# What a release needs: docs/release.md says how it is made.

##@ Release

.PHONY: release-notes
release-notes: ## Print what the changelog says of a version. VERSION=v1.0.0, or VERSION=Unreleased
	@go run ./hack/releasenotes "$(if $(filter command line environment,$(origin VERSION)),$(VERSION))"
