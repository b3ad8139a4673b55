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

// Package registry is the client of OCI registries: it lists tags, and fetches
// digests, manifests and what belongs to them, under the identity that an
// ImageRepository asks for.
//
// # Operations
//
// One [Client] serves the whole process. [Client.Open] returns a [Repository],
// of which every operation needs admission by the limiter of the registry host,
// then the credentials, and then makes its requests. A Repository is admitted
// once, by its first operation, and reads its credentials once. What a registry
// is known to support, and its tokens, are kept in a session between
// repositories that have the same name and identity.
//
// The packages below have one part each: credentials (Secrets, clouds and docker
// configs), auth (ping and token exchange), ratelimit (a limiter per host), and
// transport (connections and the RoundTrippers on the way to them).
//
// # Errors
//
// Every operation fails with an [*Error], or with a [*ratelimit.BusyError] if it
// has to return later. The files errors*.go are the only place that turns what the
// network says into an Error.
package registry
