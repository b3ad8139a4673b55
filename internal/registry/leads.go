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
	"net"
	"net/http"
	"net/url"
)

// mayLeadTo reports whether the registry may have something asked of another
// host than its own. It must not lead into the private network unless it is there
// itself, and never to where clouds give credentials to whoever asks.
func (d *door) mayLeadTo(u *url.URL) bool {
	host, ok := parseHost(u.Host)
	ip := net.ParseIP(u.Hostname())
	switch {
	case !ok:
		return false // a port alone would be dialed on this machine
	case ip == nil:
		return d.plain || !host.isLocal()
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsUnspecified():
		return false
	default:
		return d.plain || !ip.IsLoopback() && !ip.IsPrivate()
	}
}

// checkRedirect follows redirects to where the registry may lead. That
// credentials stay behind is up to the authentication, which sends them to the
// registry's host only.
func (d *door) checkRedirect(req *http.Request, via []*http.Request) error {
	if err := limitRedirects(req, via); err != nil {
		return err
	}
	if req.URL.Scheme != "https" && !d.plain {
		return errPlainHTTP
	}
	if hostOf(req.URL) == hostOf(&url.URL{Scheme: req.URL.Scheme, Host: d.host}) || d.mayLeadTo(req.URL) {
		return nil
	}
	return errBadRedirect
}
