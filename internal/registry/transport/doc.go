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

// Package transport has the RoundTrippers between the registry client and the
// network. Each has one concern. From the outside in:
//
//	UserAgent        sets the User-Agent header
//	PlainHTTPGuard   refuses plain HTTP unless it is allowed for the registry
//	(limiter)        counts the request at the limiter of the registry host
//	Throttle         turns 429, and 503 with Retry-After, into a ThrottledError
//	BodyCap          bounds the body of every response
//	Observe          reports every request
//	http.Transport   pooled per certificates and proxy
package transport
