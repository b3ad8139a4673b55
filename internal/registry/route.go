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

import (
	"crypto/tls"
	"net/url"
)

// route says by which way a registry is reached. The zero value is the default one: system roots, proxies of the environment.
type route struct {
	key   string      // a hash that differs where anything below does, "" for the default
	tls   *tls.Config // nil for the default
	proxy *url.URL    // nil for the proxies of the environment
}

// ownProxy names the proxy that the route has of its own, "" for none.
func (r route) ownProxy() string {
	if r.proxy == nil {
		return ""
	}
	return r.key
}
