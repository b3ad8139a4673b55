// SPDX-License-Identifier: Apache-2.0

// Package registry is a client of OCI registries: it lists tags, and fetches digests,
// manifests, blobs and referrers, with the credentials of an ImageRepository.
//
// # Operations
//
// One [Client] serves the whole process. [Client.Open] returns a [Repository]. The
// first operation of a Repository is admitted by the limiter of the registry host, and
// then reads the credentials; later operations reuse both. The tokens and the
// capabilities of a registry are cached in a session, which is shared by all
// Repository values with the same name and identity.
//
// The subpackages are credentials (Secrets, clouds and docker configs), auth (ping and
// token exchange), ratelimit (a limiter per host), transport (connections and
// RoundTrippers), and cache.
//
// # Errors
//
// Every operation fails with an [*Error], or with a [*ratelimit.BusyError] if it has
// to be retried later. Only the files errors*.go translate other errors to an Error.
package registry
