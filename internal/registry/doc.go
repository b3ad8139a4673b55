// SPDX-License-Identifier: Apache-2.0

// Package registry is a client of OCI registries: it lists tags, and fetches digests,
// manifests, blobs and referrers, with the credentials of an ImageRepository.
//
// # Operations
//
// A process has one [Client]. [Client.Open] returns a [Repository]. The first operation
// of a Repository acquires a ticket of the limiter of the registry host, and then reads
// the credentials; later operations reuse both. A session caches the tokens and the
// capabilities of a registry. It is shared by all Repository values with the same name
// and identity.
//
// The client may have mirrors of registries: a Repository then has several hosts, each with
// its own ticket, credentials and session, which are tried in order.
//
// The subpackages are credentials (Secrets, clouds and docker configs), auth (ping and
// token exchange), ratelimit (a limiter per host), transport (connections and
// RoundTrippers), mirrors (their file), and cache.
//
// # Errors
//
// Every operation fails with an [*Error], or with a [*ratelimit.BusyError] if the caller
// has to retry later. Only the files errors*.go convert other errors to an Error.
package registry
