# Takes minutes, so it is not part of make test.

##@ Test

.PHONY: kills
kills: ## Kill a writer of the tag store 200 times at random, and once at each of its system calls.
	STORE_KILLS=200 go test -count=1 -timeout 15m -v -run '^TestStore_SurvivesKill' ./internal/store
