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

package registry

import "net/http"

// stackOf returns the stack for a way. Ways other than the default one get a
// transport for each session, until transports are pooled by the key of a way.
func (c *Client) stackOf(way route) http.RoundTripper {
	if way.key == "" {
		return c.stack
	}
	transport := newTransport()
	transport.DisableKeepAlives = true // nobody would close what is kept
	way.configure(transport)
	return c.newStack(transport)
}
