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

package transport

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultRetryAfter is the pause where the server names none that can be
	// understood.
	defaultRetryAfter = time.Minute
	// minRetryAfter is the pause where the server names one that is over.
	minRetryAfter = time.Second
	// maxRetryAfter is the pause where the server names an absurd one, such as
	// a Unix time in place of seconds.
	maxRetryAfter = time.Hour
)

// retryAfter reads the header Retry-After (RFC 9110, section 10.2.3), which
// holds seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds >= 0 {
		// The comparison comes first: the product may not fit a Duration.
		if seconds >= maxRetryAfter.Seconds() {
			return maxRetryAfter
		}
		return max(time.Duration(seconds*float64(time.Second)), minRetryAfter)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), minRetryAfter), maxRetryAfter)
	}
	return defaultRetryAfter
}
