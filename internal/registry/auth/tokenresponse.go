// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultTokenLife is how long a token is valid if its server does not say
	// (distribution's token specification).
	defaultTokenLife = time.Minute
	// maxTokenLife bounds what a server says.
	maxTokenLife = 24 * time.Hour
	// maxTokenMargin is how long before its end a token is renewed at most.
	maxTokenMargin = 30 * time.Second
)

// token is what a token server returned.
type token struct {
	value   string
	expires time.Time
}

// parseToken reads the response of a token server to a request that began at
// some time. date is the server's time of the response. Times that can't be read
// are taken for missing: servers send them as numbers and as strings
// (distribution/distribution#1746).
func parseToken(body []byte, date string, begun time.Time) (token, error) {
	var answer struct {
		Token       string          `json:"token"`
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		IssuedAt    json.RawMessage `json:"issued_at"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return token{}, ErrBadToken
	}
	value := strings.TrimSpace(cmp.Or(answer.AccessToken, answer.Token))
	if value == "" || strings.ContainsFunc(value, notInToken) {
		return token{}, ErrNoToken
	}
	life := defaultTokenLife
	if seconds, err := strconv.ParseFloat(text(answer.ExpiresIn), 64); err == nil && seconds > 0 {
		life = time.Duration(min(seconds, maxTokenLife.Seconds()) * float64(time.Second))
	}
	life -= age(text(answer.IssuedAt), date, life)
	return token{value: value, expires: begun.Add(life - min(life/10, maxTokenMargin))}, nil
}

// notInToken reports whether a bearer token can't contain a character (RFC 6750,
// section 2.1, which allows fewer). A header with one could not be sent, for as long
// as the token is cached.
func notInToken(r rune) bool { return r <= ' ' || r > '~' }

// text returns a JSON string or number as text.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return strings.TrimSpace(s)
	}
	return string(v)
}

// age returns how old a token was when it was sent: servers may return one to
// several clients. Both times are the server's, so that the local clock does not
// matter. A token that would have expired before it was sent has a date that means
// nothing, such as the zero time of Go, and is taken for a new one: it would be
// requested again for each request otherwise.
func age(issued, date string, life time.Duration) time.Duration {
	from, err := time.Parse(time.RFC3339, issued)
	if seconds, number := strconv.ParseFloat(issued, 64); number == nil {
		from, err = time.Unix(int64(seconds), 0), nil
	}
	if err != nil {
		return 0
	}
	to, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	if old := to.Sub(from); old > 0 && old < life {
		return old
	}
	return 0
}
