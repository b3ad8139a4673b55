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

// Package auth authenticates the requests to registries. The protocol, which is
// the ping, the challenge and the token exchange, is go-containerregistry's. This
// package adds what the library does not have: results that are cached between
// operations, tokens that are renewed before they expire, one exchange at a time,
// rules for where a realm or a redirect may point, token responses that deviate
// from the specification, and anonymous tokens for hosts that a registry
// redirects to. Record 0052 has the reasons.
package auth
