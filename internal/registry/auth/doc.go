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

// Package auth authenticates requests to registries. go-containerregistry implements
// the protocol: ping, challenge and token exchange. This package adds caching between
// operations, renewal of tokens before they expire, one exchange at a time, rules for
// the targets of realms and redirects, support of token responses that deviate from
// the specification, and anonymous tokens for hosts that a registry redirects to.
// Decision record 0052 has the reasons.
package auth
