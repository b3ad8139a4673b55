// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
)

// A fact is written as flags, 1 byte; the digest, as the flags say; seen and created as
// varints; the source of created as uvarint; platforms and verdicts, each after their
// number as uvarint. Texts are written after their length as uvarint.
//
// A platform is the uvarint of its place in the list of those that are common, or
// zero and the text. Of a verdict, its end is written as the difference to its
// beginning.
const (
	flagMoved  = 1 << 0
	flagRead   = 1 << 1
	flagSHA256 = 1 << 2 // the digest is 32 bytes, and otherwise a text
	flagsKnown = flagMoved | flagRead | flagSHA256

	sha256Prefix = "sha256:"
	sha256Bytes  = 32
)

// commonPlatforms are written as numbers, from 1 on. More may be added at the end
// only.
var commonPlatforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm",
	"linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64", "linux/mips64le", "linux/loong64", "windows/amd64",
}

// appendFact appends a fact that validateFacts accepts.
func appendFact(b []byte, fact candidate.Fact) []byte {
	raw, isSHA256 := rawSHA256(fact.Digest)
	b = append(b, flagIf(fact.Moved, flagMoved)|flagIf(fact.Read, flagRead)|flagIf(isSHA256, flagSHA256))
	if isSHA256 {
		b = append(b, raw...)
	} else {
		b = appendText(b, fact.Digest)
	}
	b = binary.AppendVarint(b, fact.Seen)
	b = binary.AppendVarint(b, fact.Created)
	b = binary.AppendUvarint(b, uint64(fact.CreatedBy))
	b = binary.AppendUvarint(b, uint64(len(fact.Platforms)))
	for _, platform := range fact.Platforms {
		number := 1 + slices.Index(commonPlatforms, platform)
		b = binary.AppendUvarint(b, uint64(number))
		if number == 0 {
			b = appendText(b, platform)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(fact.Verdicts)))
	for _, v := range fact.Verdicts {
		b = appendText(b, v.Rule)
		b = binary.AppendVarint(b, v.Since)
		b = binary.AppendVarint(b, v.At-v.Since)
		b = appendText(appendText(b, v.Signer), v.Problem)
	}
	return b
}

// fact reads what appendFact wrote. Whatever the input is, it does not panic, and what it
// returns can be stored.
func (in *input) fact() candidate.Fact {
	flags := in.byte()
	if flags&^flagsKnown != 0 {
		in.fail()
	}
	fact := candidate.Fact{Moved: flags&flagMoved != 0, Read: flags&flagRead != 0}
	if flags&flagSHA256 != 0 {
		fact.Digest = in.sha256()
	} else {
		fact.Digest = in.text(MaxFactText)
	}
	fact.Seen = in.varint()
	fact.Created = in.varint()
	fact.CreatedBy = candidate.CreatedBy(in.bounded(int(candidate.LastCreatedBy)))
	fact.Platforms = in.platforms()
	fact.Verdicts = in.verdicts()
	return fact
}

func (in *input) sha256() string {
	var text [len(sha256Prefix) + 2*sha256Bytes]byte
	copy(text[:], sha256Prefix)
	hex.Encode(text[len(sha256Prefix):], in.take(sha256Bytes))
	return string(text[:])
}

func (in *input) platforms() []string {
	n := in.bounded(MaxPlatforms)
	if n == 0 {
		return nil
	}
	platforms := make([]string, n)
	for i := range platforms {
		number := in.uvarint()
		switch {
		case number == 0:
			platforms[i] = in.text(MaxFactText)
		case number <= uint64(len(commonPlatforms)):
			platforms[i] = commonPlatforms[number-1]
		default:
			in.fail()
		}
	}
	return platforms
}

func (in *input) verdicts() []candidate.Verdict {
	n := in.bounded(candidate.MaxVerdicts)
	if n == 0 {
		return nil
	}
	verdicts := make([]candidate.Verdict, n)
	for i := range verdicts {
		v := &verdicts[i]
		v.Rule, v.Since = in.text(MaxFactText), in.varint()
		v.At = v.Since + in.varint()
		v.Signer, v.Problem = in.text(MaxFactText), in.text(MaxFactText)
	}
	return verdicts
}

func flagIf(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

// rawSHA256 returns the bytes that a digest stands for, and whether they stand for
// it in turn: upper case, for one, they do not give back.
func rawSHA256(digest string) ([]byte, bool) {
	text, ok := strings.CutPrefix(digest, sha256Prefix)
	if !ok || len(text) != 2*sha256Bytes {
		return nil, false
	}
	raw, err := hex.DecodeString(text)
	return raw, err == nil && hex.EncodeToString(raw) == text
}
