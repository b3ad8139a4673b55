# The image of the controller, built without a daemon.

##@ Image

# The reference to push to, with a registry and a tag. If empty, the image is written to a folder.
IMAGE ?=

ARCHITECTURES ?= amd64 arm64

IMAGE_BUILD  := build/image
IMAGE_LAYOUT := $(IMAGE_BUILD)/oci

# The time of the commit instead of the build, so that the image is reproducible.
COMMIT_TIME = $(shell git log -1 --no-show-signature --format=%ct 2>/dev/null || echo 0)
SOURCE_DATE_EPOCH ?= $(COMMIT_TIME)

.PHONY: image
image: ## Build the image for amd64 and arm64. IMAGE=registry/name:tag pushes it, otherwise it is written to build/image/oci.
	@rm -rf $(IMAGE_BUILD) && mkdir -p $(IMAGE_BUILD)
	@for architecture in $(ARCHITECTURES); do \
		echo "building linux/$$architecture"; \
		($(COMPILE) -name linux/$$architecture -dir $(CURDIR) -env GOOS=linux -env GOARCH=$$architecture \
			-o $(abspath $(IMAGE_BUILD))/$$architecture -- $(BUILD_FLAGS) .); \
	done
	@go run ./hack/image -version "$(VERSION)" -commit "$(COMMIT)" -created "$(SOURCE_DATE_EPOCH)" \
		$(if $(IMAGE),-push "$(IMAGE)",-layout $(IMAGE_LAYOUT)) \
		$(foreach architecture,$(ARCHITECTURES),$(architecture)=$(IMAGE_BUILD)/$(architecture))
