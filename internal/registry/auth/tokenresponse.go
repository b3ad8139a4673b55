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
	// defaultTokenLife is the lifetime of a token if the response has none (distribution's
	// token specification).
	defaultTokenLife = time.Minute
	// maxTokenLife bounds the lifetime in a response.
	maxTokenLife = 24 * time.Hour
	// maxTokenMargin bounds the time by which a token is renewed before it expires.
	maxTokenMargin = 30 * time.Second
)

// token is a bearer token.
type token struct {
	value   string
	expires time.Time
}

// parseToken parses the response of a token server to a request that was made at start.
// date is the Date header of the response. Invalid times are treated as missing. Servers
// send times as numbers or as strings (distribution/distribution#1746).
func parseToken(body []byte, date string, start time.Time) (token, error) {
	var response struct {
		Token       string          `json:"token"`
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		IssuedAt    json.RawMessage `json:"issued_at"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return token{}, ErrBadToken
	}
	value := strings.TrimSpace(cmp.Or(response.AccessToken, response.Token))
	if value == "" || strings.ContainsFunc(value, isInvalidInToken) {
		return token{}, ErrNoToken
	}
	life := defaultTokenLife
	if seconds, err := strconv.ParseFloat(text(response.ExpiresIn), 64); err == nil && seconds > 0 {
		life = time.Duration(min(seconds, maxTokenLife.Seconds()) * float64(time.Second))
	}
	life -= age(text(response.IssuedAt), date, life)
	return token{value: value, expires: start.Add(life - min(life/10, maxTokenMargin))}, nil
}

// isInvalidInToken reports whether a bearer token can't contain a character (RFC 6750,
// section 2.1, which allows fewer). A header with such a character can't be sent, and every
// request would fail until the token expires.
func isInvalidInToken(r rune) bool { return r <= ' ' || r > '~' }

// text returns a JSON string or number as text.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return strings.TrimSpace(s)
	}
	return string(v)
}

// age returns the age of a token when it was sent, because servers may return a token to
// several clients. Both times are the server's, so that the local clock does not matter.
// The age is 0 if the token would have expired before it was sent: its time is meaningless
// then, such as the zero time of Go, and the token would be requested for each request.
func age(issued, date string, life time.Duration) time.Duration {
	issuedAt, err := time.Parse(time.RFC3339, issued)
	if seconds, notNumber := strconv.ParseFloat(issued, 64); notNumber == nil {
		issuedAt, err = time.Unix(int64(seconds), 0), nil
	}
	if err != nil {
		return 0
	}
	sentAt, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	if elapsed := sentAt.Sub(issuedAt); elapsed > 0 && elapsed < life {
		return elapsed
	}
	return 0
}
