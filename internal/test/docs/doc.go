// SPDX-License-Identifier: Apache-2.0

// Package docs tests the documentation. It creates every example on a real API server, resolves
// every link, and checks that every flag, metric, make target and test named by a page exists, and
// that every field of the API is described.
//
// Examples are the fenced blocks of Markdown files whose info string begins with "yaml", and the
// files of config/samples. The rest of the info string is one of:
//
//	yaml                     every object in the block is admitted
//	yaml invalid: MESSAGE    the API server rejects it with MESSAGE
//
// The commands of blocks with the info string "sh" are run page by page, in a fixture with a clone
// of the repository, a cluster with a running controller, kubectl and a registry. Placeholders such
// as registry.example.com are replaced (newFixture), and fixture_setup_test.go does what the guides
// leave to other programs. The variable guides has the expected output of commands, and the reasons
// of those that can't be run. A block without an info string, a page with commands that is not in
// guides, and a step without its command are errors.
//
// The status of an example is checked too. An ImagePolicy with a comment such as
//
//	# Of the tags 1.0.0, 1.1.0, latest it selects 1.1.0.
//
// must select that tag from these.
package docs
