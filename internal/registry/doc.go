/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
