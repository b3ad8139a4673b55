// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation to the truth. Its tests create every
// example on a real API server, follow every link, look for every flag, metric,
// target of make and test that a page names, and for every field of the API in its
// page.
//
// Examples are the fenced blocks of Markdown files whose info string begins
// with "yaml", and the files of config/samples. What follows "yaml" tells the
// tests more:
//
//	yaml                     every object in the block is admitted
//	yaml invalid: MESSAGE    the API server rejects it, and says MESSAGE
//
// The commands of blocks whose info string is "sh" are typed as printed, page by
// page, in a world that has what readers have: a clone, a cluster in which the
// controller runs, kubectl, a registry. What stands in a page for a name of the
// reader's, such as registry.example.com, is replaced (newWorld), what others
// would do is done (furniture_test.go), and what a command must print is in guides.
// So is a command that can't be run, with the reason. A block of no kind, a page
// with commands that is no guide, and a step for a command that is gone, fail.
//
// A status in an example is checked too. An ImagePolicy with a comment such as
//
//	# Of the tags 1.0.0, 1.1.0, latest it selects 1.1.0.
//
// is asked to select from these tags.
package docs
