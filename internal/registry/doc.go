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

// Package registry is the network: it lists tags, and fetches digests, manifests
// and what belongs to them from OCI registries, under the identity that an
// ImageRepository asks for.
//
// # Requests
//
// One [Client] serves the whole process. Each of its operations runs in a
// session, which is one image repository reached under one identity. A request
// passes, from the outside in:
//
//	http.Client        redirects, limited in number
//	authentication     challenge, token and Authorization header, sent to the registry's host only
//	user agent         who asks
//	gate               a request more of the registry host, for tokens and redirects too
//	plain HTTP guard   plain HTTP only where the image's name allows it
//	throttle           429 and 503 with Retry-After become errors that carry the wait
//	body cap           no body is longer than the bound
//	observer           every request that is really made is counted
//	http.Transport     pooled connections, shared by all sessions
//
// # Errors
//
// Every operation fails with an [*Error]. errors.go is the only place that
// turns what the network says into one.
package registry
