// SPDX-License-Identifier: Apache-2.0

package proxytest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
)

// Constants of RFC 1928 and RFC 1929.
const (
	socksVersion     = 5
	loginVersion     = 1
	methodNone       = 0
	methodLogin      = 2
	noMethod         = 0xff
	commandConnect   = 1
	addressIPv4      = 1
	addressName      = 3
	replySucceeded   = 0
	replyUnreachable = 4
)

var errProtocol = errors.New("protocol error")

// StartSOCKS5 starts a SOCKS5 proxy.
func StartSOCKS5(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	p := start(t, "socks5", opts)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			go func() {
				defer stop()
				p.serveSOCKS(ctx, conn)
			}()
		}
	}()
	return p
}

func (p *Proxy) serveSOCKS(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	username, password, err := p.negotiate(client)
	if err != nil {
		return
	}
	if p.username != "" {
		if username != p.username || password != p.password {
			p.admit("", username, password)
			_, _ = client.Write([]byte{loginVersion, 1})
			return
		}
		_, _ = client.Write([]byte{loginVersion, 0})
	}
	target, err := readTarget(client)
	if err != nil || !p.admit(target, username, password) {
		return
	}
	server, err := p.dial(ctx, target)
	if err != nil {
		_, _ = client.Write([]byte{socksVersion, replyUnreachable, 0, addressIPv4, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = client.Write([]byte{socksVersion, replySucceeded, 0, addressIPv4, 0, 0, 0, 0, 0, 0})
	tunnel(client, server)
}

// negotiate selects the authentication method and reads the credentials, if any.
func (p *Proxy) negotiate(client io.ReadWriter) (string, string, error) {
	header, err := read(client, 2)
	if err != nil || header[0] != socksVersion {
		return "", "", errProtocol
	}
	methods, err := read(client, int(header[1]))
	if err != nil {
		return "", "", err
	}
	method := byte(methodNone)
	if p.username != "" {
		method = methodLogin
	}
	if !bytes.Contains(methods, []byte{method}) {
		p.admit("", "", "invalid")
		_, _ = client.Write([]byte{socksVersion, noMethod})
		return "", "", errProtocol
	}
	_, _ = client.Write([]byte{socksVersion, method})
	if method == methodNone {
		return "", "", nil
	}
	if version, err := read(client, 1); err != nil || version[0] != loginVersion {
		return "", "", errProtocol
	}
	username, err := readText(client)
	if err != nil {
		return "", "", err
	}
	password, err := readText(client)
	return username, password, err
}

// readTarget reads the target of the connection.
func readTarget(client io.Reader) (string, error) {
	header, err := read(client, 4)
	if err != nil || header[1] != commandConnect {
		return "", errProtocol
	}
	var host string
	switch header[3] {
	case addressIPv4:
		address, err := read(client, net.IPv4len)
		if err != nil {
			return "", err
		}
		host = net.IP(address).String()
	case addressName:
		if host, err = readText(client); err != nil {
			return "", err
		}
	default:
		return "", errProtocol
	}
	port, err := read(client, 2)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), nil
}

// readText reads a string with a length prefix.
func readText(r io.Reader) (string, error) {
	length, err := read(r, 1)
	if err != nil {
		return "", err
	}
	text, err := read(r, int(length[0]))
	return string(text), err
}

func read(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
