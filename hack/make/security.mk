# Licences and vulnerabilities of dependencies.

##@ Security

# The licences of all linked modules, to be distributed with the controller.
NOTICES := build/THIRD_PARTY_NOTICES.txt

.PHONY: licenses
licenses: build ## Fail on a linked module whose licence is not allowed, and write build/THIRD_PARTY_NOTICES.txt.
	@GOWORK=off go -C hack/licenses run . -notice $(CURDIR)/$(NOTICES) $(BIN)/image-reflector-controller

.PHONY: licenses-test
licenses-test: ## Test the command that checks licences.
	GOWORK=off go -C hack/licenses test -count=1 ./...

.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## Fail on known vulnerabilities in called code. Needs https://vuln.go.dev, or GOVULNDB=file:///copy.
	@hack/vulncheck/vulncheck.sh $(GOVULNCHECK) ./...
